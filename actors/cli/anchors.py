"""The anchors of the log as the command line reaches them, and what they say of the log as it is now."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from actors.cli import output
from actors.cli.client import Asker, Unreachable
from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import StateFolder
from actors.embedded.use import use_servers
from actors.host import Settings
from actors.runtime.anchors import Anchored, AnchorStream
from actors.runtime.ports import BusUnavailable
from actors.signing import signer_of, signing_key
from eventstore.heads import Signer
from eventstore.store import EventStore
from eventstore.verifier import Broken

_NATS_STORE = "store"


@dataclass(frozen=True)
class Compared:
    """How many anchors agree with the log (None: they were not looked at), up to which position, and the first thing
    that one contradicts."""

    count: int | None = None
    last: int = 0
    broken: Broken | None = None


def signer_at_hand(settings: Settings) -> Signer | None:
    """The signer of this installation, if a company has made its key. BadHead when its file is of no use."""
    state = StateFolder.open(settings.state).path
    return signer_of(state, settings.signing_key) if signing_key(state, settings.signing_key).exists() else None


async def compare(settings: Settings, log: EventStore, key: str) -> Compared:
    """Compare the log with the anchors that the owner of `key` (hex; "": the key at hand) signed. What cannot be
    reached or judged is said on stderr: it proves nothing either way."""
    if not key:
        signer = signer_at_hand(settings)
        key = signer.key if signer is not None else ""
    lines = await read_anchors(settings)
    if lines is None:
        return Compared()
    anchored = Anchored(lines, key)
    if anchored.foreign:
        whose = f"by {key}" if key else "by a key that is known here: name one with --key"
        output.note(
            f"troupe: messages among the anchors that were not signed {whose}, and do not count: {anchored.foreign}"
        )
    wrong = await anchored.against(log)
    last = max((head.position for head in anchored.heads), default=0)
    if wrong is None:
        return Compared(len(anchored.heads), last)
    good = max((head.position for head in anchored.heads if head.position < wrong.position), default=0)
    what = (
        f"the anchor of {wrong.at} says that the log had another root here: after position {good} it was written anew"
    )
    return Compared(len(anchored.heads), last, Broken(wrong.position, what))


async def read_anchors(settings: Settings) -> list[bytes] | None:
    """Every message among the anchors of the log; None, and a word on stderr, when they cannot be reached."""
    try:
        async with AsyncExitStack() as stack:
            url, token = settings.nats_url, ""
            if not url:
                folder = StateFolder.open(settings.state)
                if not (folder.nats / _NATS_STORE).exists():
                    return []  # No company ever ran here.
                servers = await stack.enter_async_context(use_servers(folder, ("nats",)))
                url, token = servers.nats_url, servers.nats_token
            asker = await stack.enter_async_context(Asker.open(url, token, settings.root))
            return await AnchorStream(lambda: asker.client, settings.schema, settings.root).read()
    except (Unreachable, BusUnavailable, EmbeddedError) as error:
        output.note(f"troupe: the log was not compared with its anchors: {error}")
        return None
