"""Where the key is that signs heads of the log: in a file outside the database, an Ed25519 private key in PEM.

    secrets/signing.pem   in the state folder, made by the first company, 0600
    TROUPE_SIGNING_KEY    names the file instead; `openssl genpkey -algorithm ed25519` makes one

Whoever has the key can vouch for another history. Who loses it can still check what was signed, and needs a new one to
sign.
"""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from actors.embedded.folder import write_private
from actors.runtime.anchors import AnchorStream, notarized
from actors.runtime.nats_bus import NatsBus, utc_now
from eventstore.errors import BadHead
from eventstore.heads import Signer, new_key
from eventstore.store import EventStore

VARIABLE = "TROUPE_SIGNING_KEY"
FILE_BYTES_MAX = 4_096


def anchored(store: EventStore, bus: NatsBus, log: str, state: Path, named: str) -> AbstractAsyncContextManager[None]:
    """Have the log called `log` anchored on the bus inside the block, signed by the key of the company."""
    return notarized(store, AnchorStream(lambda: bus.client, log, bus.root), signer_of(state, named), utc_now)


def signing_key(state: Path, named: str = "") -> Path:
    """The file: the one that is named, else that of the state folder."""
    return Path(named).expanduser() if named else state / "secrets" / "signing.pem"


def signer_of(state: Path, named: str = "") -> Signer:
    """The signer of a company; its key is made if the state folder has none. BadHead."""
    path = signing_key(state, named)
    if not named and not path.exists():
        write_private(path, new_key(), replace=False)
    try:
        with path.open("rb") as file:
            return Signer.from_pem(file.read(FILE_BYTES_MAX))
    except OSError as error:
        raise BadHead(f"the signing key {path} cannot be read ({error}): restore it, or correct {VARIABLE}") from error
    except BadHead as error:
        raise BadHead(
            f"the signing key {path} is of no use: {error}; restore it, or name another in {VARIABLE}"
        ) from error
