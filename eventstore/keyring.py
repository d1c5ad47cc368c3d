"""Seals personal text and opens it again, with the subject keys of a store and the master keys beside it.

What it promises:

- Text is sealed under its subject's key, which is made at first need. What came in before its subject was last
  forgotten is not sealed but erased: a command that was on its way is forgotten with the rest.
- Opening asks the store every time: no subject's key outlives a call, so forgetting holds at once in every process.
- A forgotten subject's text opens as ERASED. Text that was changed, or whose key or master key is not here, is never
  taken for forgotten: it stays sealed, and a typed error says why.
- Only keys of the project at hand open anything: sealed text carried into another project stays sealed.

The master keys are read again when the store names one that is not known here, so that a change of the master key needs
no restart. Whoever loses the master key has lost all sealed text for good.
"""

import base64
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from eventstore import sealing
from eventstore.errors import (
    KeyringError,
    StaleMasterKey,
    StoreError,
    SubjectGone,
    TamperedSeal,
    UnknownKey,
    UnknownMasterKey,
)
from eventstore.opened import Opened, key_of, sealed_in
from eventstore.records import NewEvent
from eventstore.sealing import MasterKey
from eventstore.subject_keys import (
    PROJECT_ITSELF,
    Forgotten,
    KnownSubject,
    NewSubjectKey,
    SubjectKey,
    SubjectKeys,
)
from protocol.codec import encode
from protocol.message import tag_of
from protocol.personal import ERASED, SEALED
from protocol.subject import SubjectForgotten

SUBJECTS_MAX = 8  # Of one text: it grows by a third with each.
ATTEMPTS_MAX = 5  # To add a key while others change the master key or forget.
REWRAP_KEYS_MAX = 500
PROJECTS_CACHED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class PersonalText:
    """Text about to be sealed: whom it is about, and when it came in."""

    person: str
    text: str
    at: datetime


class Keyring:
    """The subject keys of one store. `load` reads the master keys there are."""

    def __init__(self, keys: SubjectKeys, load: Callable[[], Collection[MasterKey]]) -> None:
        self._keys, self._load = keys, load
        self._masters: dict[str, MasterKey] = {}
        self._current = ""
        self._projects: dict[str, bytes] = {}  # Their own keys, which are never forgotten.

    async def begin(self) -> None:
        """See that the current master key is here; the first one becomes it. UnknownMasterKey or BadMasterKey."""
        current = await self._keys.master()
        if not current:
            self._reload()
            if not self._masters:
                raise UnknownMasterKey("there is no master key: personal text can neither be sealed nor read")
            current = await self._keys.adopt(next(iter(self._masters)))
        self._master(current)
        self._current = current

    async def seal(self, project: str, texts: Sequence[PersonalText]) -> list[str | KeyringError]:
        """Each text sealed under its subject's key, or ERASED, or why it cannot be sealed."""
        index = await self._project(project)
        subjects = [sealing.subject_hash(index, each.person) for each in texts]
        known = await self._keys.known(project, subjects)
        wanting = {
            subject
            for subject, each in zip(subjects, texts, strict=True)
            if not _came_too_early(each, known.get(subject)) and known.get(subject, KnownSubject()).key is None
        }
        added = await self._add(project, wanting) if wanting else {}
        held = added | {subject: found.key for subject, found in known.items() if found.key is not None}
        raw: dict[str, bytes | KeyringError] = {key.id: self._unwrapped(key) for key in held.values()}
        sealed: list[str | KeyringError] = []
        for subject, each in zip(subjects, texts, strict=True):
            if _came_too_early(each, known.get(subject)):
                sealed.append(ERASED)
                continue
            key = held[subject]
            opened = raw[key.id]
            failed = isinstance(opened, KeyringError)
            sealed.append(opened if failed else sealing.seal(project, key.id, opened, each.text))
        return sealed

    async def seal_under(self, project: str, keys: Collection[str], texts: Sequence[str]) -> list[str]:
        """Texts sealed under all of those keys (ids): forgetting any one of the subjects makes them unreadable.
        SubjectGone when one has been forgotten."""
        if len(set(keys)) > SUBJECTS_MAX:
            raise KeyringError(f"a text about {len(set(keys))} subjects cannot be sealed; at most {SUBJECTS_MAX}")
        rows = await self._keys.by_id(project, keys)
        for id_ in sorted(set(keys)):
            row = rows.get(id_)
            if row is None or row.forgotten_at is not None:
                raise SubjectGone(f"the subject of the key {id_} was forgotten; do again what needs its text")
            raw = self._unwrapped(row)
            if isinstance(raw, KeyringError):
                raise raw
            texts = [sealing.seal(project, id_, raw, text) for text in texts]
        return list(texts)

    async def opened(self, project: str, texts: Iterable[str | bytes]) -> Opened:
        """Every sealed text in `texts` (also in JSON), opened. One query a level of sealing."""
        wanted = {token for text in texts for token in sealed_in(text)}
        result = Opened()
        for _ in range(SUBJECTS_MAX):
            if not wanted:
                break
            rows = await self._keys.by_id(project, {key_of(token) for token in wanted})
            raw = {id_: self._unwrapped(row) for id_, row in rows.items() if row.forgotten_at is None}
            for token in wanted:
                self._open(project, token, rows.get(key_of(token)), raw, result)
            wanted = {inner for token in wanted for inner in sealed_in(result.plain.get(token, ""))}
        return result

    async def open_text(self, project: str, text: str) -> str:
        """`text` with every sealed text in it opened, or a KeyringError."""
        return (await self._sound(project, [text])).within(text)

    async def open_json(self, project: str, document: bytes) -> bytes:
        """The same for a JSON document."""
        return (await self._sound(project, [document])).within_json(document)

    async def seal_bytes(self, project: str, keys: Collection[str], content: bytes) -> bytes:
        """`content` sealed under all of those keys (none: as it is). SubjectGone as `seal_under`."""
        if not keys:
            return content
        raw = secrets.token_bytes(sealing.KEY_BYTES)
        (sealed_key,) = await self.seal_under(project, keys, [base64.b64encode(raw).decode()])
        return sealing.seal_content(project, sealed_key, raw, content)

    async def open_bytes(self, project: str, content: bytes) -> bytes | None:
        """What `seal_bytes` was given; None when a subject of it was forgotten. Bytes that are not sealed come back as
        they are."""
        parts = sealing.split_content(content)
        if parts is None:
            return content
        sealed_key, rest = parts
        if SEALED.fullmatch(sealed_key) is None:
            raise TamperedSeal(f"sealed bytes of the project {project} have no key before them; compare with a backup")
        key = await self.open_text(project, sealed_key)
        return None if ERASED in key else sealing.open_content(project, sealed_key, base64.b64decode(key), rest)

    async def forget(self, project: str, person: str, at: datetime) -> Forgotten | None:
        """Destroy the key of a subject and say so in the log; position 0 and the time when that was done before, None
        when nothing was ever sealed for it."""
        subject = sealing.subject_hash(await self._project(project), person)
        known = (await self._keys.known(project, [subject])).get(subject, KnownSubject())
        if known.key is not None:
            return await self.forget_key(project, known.key.id, at)
        return None if known.forgotten_at is None else Forgotten(0, known.forgotten_at)

    async def forget_key(self, project: str, key: str, at: datetime) -> Forgotten | None:
        """The same for a key by its id; needs no master key."""
        event = SubjectForgotten(key)
        done = await self._keys.forget(project, key, NewEvent(tag_of(event), encode(event), at, "", f"forget:{key}"))
        if done is not None and done.position:
            with suppress(StoreError):  # The key is gone either way; a busy table is swept another time.
                await self._keys.sweep()
        return done

    async def abandon(self, at: datetime) -> int:
        """Forget every subject of every project and give the master key up, for one that is lost for good; how many
        subjects were forgotten. Needs no master key; goes on where an earlier call stopped."""
        master, forgotten = await self._keys.master(), 0
        while master and await self._keys.abandon(master):
            for key in await self._keys.wrapped_under_others("", REWRAP_KEYS_MAX, subjects_only=True):
                done = await self.forget_key(key.project, key.id, at)
                forgotten += done is not None and done.position > 0
        return forgotten

    async def fingerprint(self, project: str, content: bytes) -> str:
        """Tells bytes that were not kept from others, to whoever has both them and the master key."""
        return sealing.fingerprint(await self._project(project), content)

    async def rewrap(self, to: MasterKey) -> int:
        """Make `to` the master key and put every subject key under it; how many were. Goes on where an earlier call
        stopped; both master keys must be readable until it returns."""
        await self._keys.change_master(await self._keys.master(), to.id)
        self._current, written = to.id, 0
        while keys := await self._keys.wrapped_under_others(to.id, REWRAP_KEYS_MAX):
            written += await self._keys.rewrap(to.id, [self._moved(key, to) for key in keys])
        with suppress(StoreError):
            await self._keys.sweep()
        return written

    async def _sound(self, project: str, texts: Iterable[str | bytes]) -> Opened:
        opened = await self.opened(project, texts)
        if opened.faults:
            raise opened.faults[0]
        return opened

    def _open(
        self, project: str, token: str, row: SubjectKey | None, raw: dict[str, bytes | KeyringError], into: Opened
    ) -> None:
        if row is None:
            said = f"text is sealed under {key_of(token)}, which is no key of the project {project}"
            into.faults.append(UnknownKey(f"{said}: it was carried there from elsewhere, or keys are missing"))
        elif row.forgotten_at is not None:
            into.plain[token] = ERASED
        elif isinstance(key := raw[row.id], KeyringError):
            into.faults.append(key)
        else:
            try:
                into.plain[token] = sealing.unseal(project, row.id, key, token.rpartition(":")[2])
                into.keys.add(row.id)
            except TamperedSeal as error:
                into.faults.append(error)

    async def _project(self, project: str) -> bytes:
        """The project's own key, made at its first need."""
        if project not in self._projects:
            known = (await self._keys.known(project, [PROJECT_ITSELF])).get(PROJECT_ITSELF, KnownSubject())
            key = known.key or (await self._add(project, {PROJECT_ITSELF}))[PROJECT_ITSELF]
            if len(self._projects) >= PROJECTS_CACHED_MAX:
                self._projects.clear()  # Anybody may make names up.
            self._projects[project] = self._master(key.master).unwrap(project, key.id, key.wrapped)
        return self._projects[project]

    async def _add(self, project: str, subjects: set[bytes]) -> dict[bytes, SubjectKey]:
        for _ in range(ATTEMPTS_MAX):
            if not self._current:
                await self.begin()
            master = self._master(self._current)
            fresh = [(subject, *sealing.new_key()) for subject in sorted(subjects)]
            new = [NewSubjectKey(id_, project, s, master.wrap(project, id_, raw)) for s, id_, raw in fresh]
            try:
                added = {key.subject: key for key in await self._keys.add(master.id, new)}
            except StaleMasterKey:
                self._current = ""
                continue
            if added.keys() == subjects:
                return added
        raise KeyringError(f"no key could be added for {len(subjects)} subjects of the project {project}: try again")

    def _moved(self, key: SubjectKey, to: MasterKey) -> SubjectKey:
        raw = self._master(key.master).unwrap(key.project, key.id, key.wrapped)
        return replace(key, wrapped=to.wrap(key.project, key.id, raw))

    def _unwrapped(self, key: SubjectKey) -> bytes | KeyringError:
        try:
            return self._master(key.master).unwrap(key.project, key.id, key.wrapped)
        except KeyringError as error:
            return error

    def _master(self, id_: str) -> MasterKey:
        if id_ not in self._masters:
            self._reload()
        if id_ not in self._masters:
            here = ", ".join(self._masters) or "none"
            raise UnknownMasterKey(
                f"the database's keys are wrapped under the master key {id_}, and what is here is {here}: put the file "
                "of that key back into the state folder (secrets/master), or name it in TROUPE_MASTER_KEY; without it "
                "all sealed text is lost"
            )
        return self._masters[id_]

    def _reload(self) -> None:
        self._masters = {key.id: key for key in self._load()}


def _came_too_early(each: PersonalText, known: KnownSubject | None) -> bool:
    return known is not None and known.forgotten_at is not None and each.at <= known.forgotten_at
