"""The edge where personal text is sealed: what comes from outside, before anything else sees it.

- A command with personal fields goes on with sealed text only, in its bytes too: mailbox, inbox, events, sends, dead
  letters and log lines hold nothing else. It is encoded anew, so a field nobody declared is not kept either.
- A command that is refused on its way in leaves no bytes: nobody can say what is in bytes that cannot be read. The
  inbox keeps their number and a fingerprint, by which whoever has the bytes can tell them.
- What only looks sealed is refused: the company alone seals.

Sends between actors and effects' outcomes are sealed already, where it concerns them; they do not come by here. A
message without personal fields costs a look-up by its class and a search in its bytes.
"""

from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from actors.runtime.turn import Pending
from eventstore.errors import KeyringError
from eventstore.keyring import Keyring, PersonalText
from protocol.codec import encode
from protocol.message import Command, Refusal, tag_of
from protocol.personal import Personal, holds_personal, is_person, may_hold_seal, transform

log = structlog.get_logger("sealing")


class Sealer:
    """Seals under the keys of one store. Without a keyring personal text is refused."""

    def __init__(self, keyring: Keyring | None = None) -> None:
        self._keyring = keyring

    async def seal(self, arrived: Sequence[Pending]) -> list[Pending]:
        """The commands as they may go on, in order. StoreUnavailable when keys cannot be asked for now."""
        passed = [_checked(pending) for pending in arrived]
        if all(_is_plain(pending) for pending in passed):
            return passed
        texts: dict[str, list[PersonalText]] = {}
        for pending in passed:
            if pending.refusal is None and pending.command is not None and holds_personal(type(pending.command)):
                found = _texts(pending.command, pending)
                texts.setdefault(pending.address.project, []).extend(found)
        sealed = {project: await self._sealed(project, wanted) for project, wanted in texts.items() if wanted}
        return [await self._passed(pending, sealed.get(pending.address.project, {})) for pending in passed]

    async def _sealed(self, project: str, texts: list[PersonalText]) -> dict[PersonalText, str | KeyringError]:
        if self._keyring is None:
            return {}
        try:
            return dict(zip(texts, await self._keyring.seal(project, texts), strict=True))
        except KeyringError as error:
            return dict.fromkeys(texts, error)

    async def _passed(self, pending: Pending, sealed: dict[PersonalText, str | KeyringError]) -> Pending:
        command = pending.command
        if pending.refusal is None and command is not None and holds_personal(type(command)):
            try:
                command = _filled(command, pending, sealed)
                return replace(pending, type=tag_of(command), command=command, body=encode(command))
            except Refusal as refusal:
                pending = replace(pending, refusal=refusal)
        return pending if pending.refusal is None else replace(pending, command=None, body=await self._trace(pending))

    async def _trace(self, pending: Pending) -> bytes:
        """What the inbox keeps of bytes it does not keep."""
        trace: dict[str, str | int] = {"withheld_bytes": len(pending.body)}
        if self._keyring is not None:
            try:
                trace["fingerprint"] = await self._keyring.fingerprint(pending.address.project, pending.body)
            except KeyringError as error:
                log.error("sealing.no_fingerprint", command=pending.id, error=str(error))
        return encode(trace)


def _is_plain(pending: Pending) -> bool:
    """Whether nothing of it is to be sealed or withheld."""
    return pending.refusal is None and (pending.command is None or not holds_personal(type(pending.command)))


def may_be_personal(pending: Pending) -> bool:
    """Whether a command that has just come in has bytes that may be about somebody. One that is only refused in here
    is among them."""
    if pending.refusal is not None or pending.command is None:
        return True
    return holds_personal(type(pending.command)) or may_hold_seal(pending.body)


def _checked(pending: Pending) -> Pending:
    """The command, refused if it holds what looks sealed, or text that no key can be found for."""
    if pending.refusal is not None or pending.command is None:
        return pending
    try:
        if may_hold_seal(pending.body):
            raise Refusal("bad-seal", "it holds text that looks sealed; only the company seals, send the text itself")
        if holds_personal(type(pending.command)):
            transform(pending.command, _check)
    except Refusal as refusal:
        return replace(pending, refusal=refusal)
    return pending


def _check(declared: Personal, person: str, text: str) -> str:
    if not person:
        if declared.always:
            raise Refusal("no-person", f"it holds personal text and no {declared.subject!r}: name whom it concerns")
        return text
    if not is_person(person):
        raise Refusal(
            "bad-person",
            f"{declared.subject!r} is to be a pseudonymous id of letters, digits, '_' and '-': no name, no address",
        )
    if len(text) > declared.length_max:
        raise Refusal("too-long", f"personal text of {len(text)} characters, limit {declared.length_max}")
    return text


def _texts(command: Command, pending: Pending) -> list[PersonalText]:
    found: list[PersonalText] = []

    def note(_: Personal, person: str, text: str) -> str:
        if person:
            found.append(PersonalText(person, text, pending.at))
        return text

    transform(command, note)
    return found


def _filled(command: Command, pending: Pending, sealed: dict[PersonalText, str | KeyringError]) -> Command:
    """The command with sealed text in it; Refusal when some of it could not be sealed."""

    def fill(_: Personal, person: str, text: str) -> str:
        if not person:
            return text
        found = sealed.get(PersonalText(person, text, pending.at))
        if found is None:
            raise Refusal("cannot-seal", "this company has no master key, so it takes no personal text")
        if isinstance(found, KeyringError):
            log.error("sealing.failed", command=pending.id, correlation=pending.correlation, error=str(found))
            raise Refusal("cannot-seal", "personal text cannot be sealed now: the company's log says why")
        return found

    return transform(command, fill)
