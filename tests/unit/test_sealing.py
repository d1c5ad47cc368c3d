"""The cryptography of erasure: what opens under which key, and that nothing else does."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import sealing
from eventstore.errors import BadMasterKey, TamperedSeal
from eventstore.sealing import MasterKey, new_key, seal, unseal
from protocol.personal import SEALED, SEALED_PREFIX, is_sealed
from tests.kit.keys import new_master

ID, RAW = new_key()
OTHER_ID, OTHER_RAW = new_key()


def data(token: str) -> str:
    return token.rpartition(":")[2]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_sealed_text_is_one_token_that_opens_to_what_was_sealed(text: str) -> None:
    token = seal("demo", ID, RAW, text)
    assert token.startswith(SEALED_PREFIX)
    assert is_sealed(token)
    assert token.isascii()
    assert unseal("demo", ID, RAW, data(token)) == text
    assert seal("demo", ID, RAW, text) == token, "a repetition stays recognisable"


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_texts_are_sealed_differently(one: str, other: str) -> None:
    assert (seal("demo", ID, RAW, one) == seal("demo", ID, RAW, other)) == (one == other)


def test_the_same_text_of_two_subjects_shares_nothing() -> None:
    mine, theirs = seal("demo", ID, RAW, "a@b.example"), seal("demo", OTHER_ID, OTHER_RAW, "a@b.example")
    assert data(mine)[:16] != data(theirs)[:16], "not even the nonce"


@pytest.mark.parametrize(
    ("project", "key", "raw"),
    [("other", ID, RAW), ("demo", OTHER_ID, RAW), ("demo", ID, OTHER_RAW)],
    ids=["another project", "another key's id", "another key"],  # The keys are new in every process.
)
def test_it_opens_in_its_project_under_its_key_only(project: str, key: str, raw: bytes) -> None:
    with pytest.raises(TamperedSeal):
        unseal(project, key, raw, data(seal("demo", ID, RAW, "secret")))


def test_every_changed_or_missing_byte_is_noticed() -> None:
    sealed_bytes = base64.urlsafe_b64decode(data(seal("demo", ID, RAW, "secret")) + "==")
    for n in range(len(sealed_bytes)):
        changed = bytes([*sealed_bytes[:n], sealed_bytes[n] ^ 1, *sealed_bytes[n + 1 :]])
        for wrong in (changed, sealed_bytes[:n]):
            with pytest.raises(TamperedSeal):
                unseal("demo", ID, RAW, base64.urlsafe_b64encode(wrong).decode().rstrip("="))


def test_a_wrapped_key_opens_under_its_master_key_in_its_place_only() -> None:
    master = new_master()
    wrapped = master.wrap("demo", ID, RAW)
    assert RAW not in wrapped
    assert master.unwrap("demo", ID, wrapped) == RAW
    assert master.wrap("demo", ID, RAW) != wrapped
    tried: list[tuple[MasterKey, str, str, bytes]] = [
        (new_master(), "demo", ID, wrapped),
        (master, "other", ID, wrapped),
        (master, "demo", OTHER_ID, wrapped),
        (master, "demo", ID, wrapped[:-1]),
        (master, "demo", ID, b""),
        *[
            (master, "demo", ID, bytes([*wrapped[:n], wrapped[n] ^ 128, *wrapped[n + 1 :]]))
            for n in range(len(wrapped))
        ],
    ]
    for key, project, id_, what in tried:
        with pytest.raises(TamperedSeal, match=id_):
            key.unwrap(project, id_, what)


def test_a_master_key_is_32_bytes_in_either_base64_and_is_never_shown() -> None:
    raw = bytes(range(224, 256))
    texts = [base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=") + "\n"]
    keys = {MasterKey.of(text) for text in texts}
    assert len(keys) == 1, "the same key, and the same id"
    (key,) = keys
    assert not [text for text in texts if text.strip("=\n") in repr(key)]
    assert raw.hex() not in repr(key)
    assert key.id not in texts[0]


@pytest.mark.parametrize("text", ["", "short", "é" * 43, base64.b64encode(bytes(31)).decode(), "=" * 44, "A" * 45])
def test_anything_else_is_no_master_key(text: str) -> None:
    with pytest.raises(BadMasterKey, match="32 random bytes"):
        MasterKey.of(text)


def test_ids_are_hashed_under_the_projects_own_key() -> None:
    assert sealing.subject_hash(RAW, "p1") == sealing.subject_hash(RAW, "p1")
    hashes = {sealing.subject_hash(raw, person) for raw in (RAW, OTHER_RAW) for person in ("p1", "p2")}
    assert len(hashes) == 4
    assert b"p1" not in sealing.subject_hash(RAW, "p1")
    assert sealing.fingerprint(RAW, b"p1") != sealing.subject_hash(RAW, "p1").hex()


@given(st.binary(max_size=2_000))
def test_sealed_bytes_carry_their_key_and_open_again(content: bytes) -> None:
    sealed_key = seal("demo", ID, RAW, base64.b64encode(OTHER_RAW).decode())
    stored = sealing.seal_content("demo", sealed_key, OTHER_RAW, content)
    parts = sealing.split_content(stored)
    assert parts is not None
    assert parts[0] == sealed_key
    assert sealing.open_content("demo", sealed_key, OTHER_RAW, parts[1]) == content
    if len(content) >= 8:
        assert content not in parts[1]


def test_changed_bytes_are_noticed_and_plain_ones_are_not_taken_for_sealed() -> None:
    sealed_key = seal("demo", ID, RAW, "k")
    stored = sealing.seal_content("demo", sealed_key, OTHER_RAW, b"content")
    _, rest = sealing.split_content(stored) or ("", b"")
    for n in range(len(rest)):
        changed = bytes([*rest[:n], rest[n] ^ 1, *rest[n + 1 :]])
        with pytest.raises(TamperedSeal):
            sealing.open_content("demo", sealed_key, OTHER_RAW, changed)
    with pytest.raises(TamperedSeal):
        sealing.open_content("other", sealed_key, OTHER_RAW, rest)
    for plain in (b"", b"# Report", sealing.BYTES_MAGIC, sealing.BYTES_MAGIC + b"x" * 10_000):
        assert sealing.split_content(plain) is None


def test_sealed_text_is_found_inside_other_text() -> None:
    token = seal("demo", ID, RAW, "secret")
    for text in (f"- {token}\n- x", f"({token})", f'"{token}",', f"{token}."):
        (found,) = SEALED.finditer(text)
        assert found[0] == token
