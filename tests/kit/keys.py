"""Master keys and keyrings for tests."""

import base64
import secrets
from collections.abc import Collection

from eventstore.errors import KeyringError
from eventstore.keyring import Keyring, PersonalText
from eventstore.sealing import MasterKey
from eventstore.store import EventStore
from tests.kit.units import NOON


def new_master() -> MasterKey:
    return MasterKey.of(base64.b64encode(secrets.token_bytes(32)).decode())


class Vault:
    """The master keys there are: what files are to a company."""

    def __init__(self, *masters: MasterKey) -> None:
        self.masters: Collection[MasterKey] = masters or (new_master(),)

    def keyring(self, store: EventStore) -> Keyring:
        """As another process would have one."""
        return Keyring(store.keys, lambda: self.masters)


async def sealed(keyring: Keyring, person: str, text: str, project: str = "demo") -> str:
    """One text, sealed now."""
    (done,) = await keyring.seal(project, [PersonalText(person, text, FAR)])
    if isinstance(done, KeyringError):
        raise done
    return done


FAR = NOON.replace(year=2200)  # Later than any forgetting of a test.
