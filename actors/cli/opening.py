"""Opens sealed text for people who hold the master key; who does not, or wants to see the seal, gets it as stored.

What was forgotten is shown as erased. What cannot be opened although it should is shown sealed, said on stderr, and
ends the command with DIVERGENCE: a changed byte must not look like an erasure.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, TypeVar

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.exits import Exit
from actors.embedded.folder import default_path
from actors.host import Settings
from actors.keyrings import MasterFiles
from eventstore.errors import BadMasterKey, KeyringError, UnknownMasterKey
from eventstore.keyring import Keyring
from eventstore.opened import Opened
from eventstore.store import EventStore, Recorded
from protocol.personal import ERASED, Personal, transform

S = TypeVar("S", bound=msgspec.Struct)

AsSealed = Annotated[bool, Parameter(name="--sealed", negative=(), help="Show sealed text as it is stored.")]


class Opener:
    """Opens what one command shows; without a keyring nothing."""

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring
        self._missing: dict[str, None] = {}  # Why the master key is not here.
        self._faults: dict[str, None] = {}

    async def rows(self, project: str, rows: Sequence[S]) -> list[S]:
        """Rows with their personal fields opened."""
        texts: list[str] = []

        def note(_: Personal, __: str, text: str) -> str:
            texts.append(text)
            return text

        for row in rows:
            transform(row, note)
        opened = await self._opened(project, texts)
        return [transform(row, lambda _, __, text: opened.within(text)) for row in rows]

    async def events(self, page: Sequence[Recorded]) -> list[Recorded]:
        """Events with opened bodies; one without sealed text stays byte for byte."""
        shown: list[Recorded] = []
        for project, group in groupby(page, key=lambda recorded: recorded.address.project):
            events = list(group)
            opened = await self._opened(project, [recorded.body for recorded in events])
            shown += [
                msgspec.structs.replace(r, body=opened.within_json(r.body)) if opened.plain else r for r in events
            ]
        return shown

    async def document(self, project: str, document: bytes) -> bytes:
        """A JSON document, opened; all else in it stays byte for byte."""
        opened = await self._opened(project, [document])
        return opened.within_json(document) if opened.plain else document

    async def content(self, project: str, content: bytes) -> bytes:
        """The bytes of a file, opened."""
        if self._keyring is None:
            return content
        try:
            opened = await self._keyring.open_bytes(project, content)
        except KeyringError as error:
            self._note([error])
            return content
        return ERASED.encode() + b"\n" if opened is None else opened

    def ended(self) -> Exit:
        """How the command ends, once everything is shown; what could not be opened is told here."""
        for why in self._missing:
            output.note(f"troupe: sealed text is shown as it is stored: {why}")
        for fault in self._faults:
            output.note(f"troupe: shown sealed: {fault}")
        return Exit.DIVERGENCE if self._faults else Exit.OK

    async def _opened(self, project: str, texts: Sequence[str | bytes]) -> Opened:
        opened = Opened() if self._keyring is None else await self._keyring.opened(project, texts)
        self._note(opened.faults)
        return opened

    def _note(self, faults: Sequence[KeyringError]) -> None:
        for fault in faults:
            known = self._missing if isinstance(fault, UnknownMasterKey | BadMasterKey) else self._faults
            known[str(fault)] = None


def master_files(settings: Settings) -> MasterFiles:
    """The master key files of the company that the settings mean."""
    return MasterFiles((settings.state or default_path()).expanduser().absolute(), settings.master_key)


def opener_of(settings: Settings, store: EventStore, sealed: bool = False) -> Opener:
    """The opener for a command; with `sealed` one that opens nothing."""
    return Opener(None if sealed else master_files(settings).reading(store))
