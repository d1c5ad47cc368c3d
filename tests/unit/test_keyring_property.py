"""Whatever is sealed, forgotten and sealed again, in whatever order: forgetting one never touches another's text."""

from collections.abc import Sequence

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from eventstore.memory.store import MemoryStore
from protocol.personal import ERASED
from tests.kit.keys import Vault, sealed
from tests.kit.units import NOON

PEOPLE = ("p1", "p2", "p3")
steps = st.one_of(
    st.tuples(st.just("seal"), st.sampled_from(PEOPLE), st.text(max_size=40)),
    st.tuples(st.just("forget"), st.sampled_from(PEOPLE), st.just("")),
    st.tuples(st.just("join"), st.sampled_from(PEOPLE), st.text(max_size=10)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(steps, max_size=20))
def test_forgetting_one_never_touches_anothers_text(script: Sequence[tuple[str, str, str]]) -> None:
    anyio.run(_play, script)


async def _play(script: Sequence[tuple[str, str, str]]) -> None:
    store, vault = MemoryStore(), Vault()
    keyring = vault.keyring(store)
    held: list[tuple[str, str, set[str]]] = []  # Sealed, plain, and who is concerned that was not forgotten since.
    lost: list[str] = []
    for what, person, text in script:
        if what == "seal":
            held.append((await sealed(keyring, person, text), text, {person}))
        elif what == "join" and held:
            other, _, concerned = held[-1]
            token = await sealed(keyring, person, text)
            keys = (await keyring.opened("demo", [other, token])).keys
            (joint,) = await keyring.seal_under("demo", keys, [text])
            held.append((joint, text, concerned | {person}))
        elif what == "forget":
            await keyring.forget("demo", person, NOON)
            lost += [token for token, _, concerned in held if person in concerned]
            held = [each for each in held if person not in each[2]]
        elsewhere = vault.keyring(store)
        for token, plain, _ in held:
            assert await elsewhere.open_text("demo", token) == plain
        for token in lost:
            assert await elsewhere.open_text("demo", token) == ERASED
