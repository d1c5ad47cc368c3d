"""Personal fields: which text of a message is about a person, and how such text looks once it is sealed. Pure.

A field of type `str` is declared personal with `Annotated[str, personal("person", length_max=500)]`: "person" names the
sibling field with the data subject's pseudonymous id. What comes from outside is sealed under that subject's key before
anything is decided, so a core, an event, a send, an effect and a snapshot only ever hold the sealed text:

    sealed:v1:<key id>:<base64url of nonce, ciphertext and tag>

Sealed text is a `str` like any other and may stand inside a longer one, set apart by a blank, a line's end or a mark.
Once its subject is forgotten, readers see ERASED in its place. Ids, subjects, headers and types are names, never
content: nothing personal belongs there, and nothing seals them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from protocol.subjects import TOKEN_LENGTH_MAX

ERASED = "[erased]"  # What readers see where the key of the text was destroyed.
SEALED_PREFIX = "sealed:v1:"
SEALED = re.compile(r"sealed:v1:(?P<key>[0-9a-f]{32}):(?P<data>[A-Za-z0-9_-]{38,})")
_PREFIX_BYTES = SEALED_PREFIX.encode()
SCHEMA_KEY = "x-personal"  # Under it a JSON Schema shows the declaration.
_PERSON = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{TOKEN_LENGTH_MAX - 1}}}")

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Personal:
    """The declaration of one field. `subject` is the sibling with the subject's id; while that is "", the text is not
    personal, or (`always`) not acceptable. `length_max` is in characters: cores see sealed text, so they cannot count.
    """

    subject: str
    length_max: int
    always: bool = False


Visit = Callable[[Personal, str, str], str]  # Declaration, the subject's id, the text; the text to put in its place.


def personal(subject: str, *, length_max: int, always: bool = False) -> msgspec.Meta:
    """Declares a field of type `str` personal; see Personal."""
    return msgspec.Meta(extra_json_schema={SCHEMA_KEY: {"subject": subject, "lengthMax": length_max, "always": always}})


def is_person(text: str) -> bool:
    """Whether `text` can be a subject's pseudonymous id: a token like every other id, so no name and no address."""
    return _PERSON.fullmatch(text) is not None


def is_sealed(text: str) -> bool:
    """Whether `text` as a whole is one sealed text."""
    return SEALED.fullmatch(text) is not None


def may_be_same(one: str, other: str) -> bool:
    """Whether two personal texts may be the same. Sealed under one key they show it; under two, or erased, nobody can
    tell, and a repetition must not become another thing because its subject was forgotten in between."""
    if one == other or ERASED in (one, other):
        return True
    keys = [found["key"] for found in map(SEALED.fullmatch, (one, other)) if found is not None]
    return len(keys) == 2 and keys[0] != keys[1]


def may_hold_seal(body: bytes) -> bool:
    """Whether a string of this JSON could hold what looks sealed; no is certain. Fast: it runs for every message."""
    return _PREFIX_BYTES in body or (b"\\" in body and _escaped_seal(body))


def _escaped_seal(body: bytes) -> bool:
    try:
        return _PREFIX_BYTES in msgspec.json.encode(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False  # No JSON: nothing will be read out of it.


@cache
def personal_fields(struct: type[msgspec.Struct]) -> Mapping[str, Personal]:
    """The personal fields of `struct` itself, by attribute. TypeError for a declaration that cannot be kept."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    texts = {field.name for field in described.fields if isinstance(_bare(field.type), inspect.StrType)}
    found: dict[str, Personal] = {}
    for field in described.fields:
        declared = _declared(field.type)
        if declared is None:
            continue
        if field.name not in texts or declared.subject not in texts or declared.subject == field.name:
            raise TypeError(
                f"{struct.__name__}.{field.name} is declared personal to {declared.subject!r}: both must be fields of "
                "type str"
            )
        found[field.name] = declared
    return found


@cache
def holds_personal(struct: type[msgspec.Struct]) -> bool:
    """Whether `struct`, or a struct in one of its fields, has personal fields."""
    return any(personal_fields(each) for each in _structs(inspect.type_info(struct), set()))


def transform(message: S, visit: Visit) -> S:
    """`message` with every personal text that is not empty replaced by what `visit` answers, in nested structs too."""
    return cast("S", _transformed(message, visit))


def _transformed(value: Any, visit: Visit) -> Any:
    if isinstance(value, msgspec.Struct):
        if not holds_personal(type(value)):
            return value
        changes: dict[str, Any] = {}
        declared = personal_fields(type(value))
        for name in value.__struct_fields__:
            held = getattr(value, name)
            if name not in declared:
                changes[name] = _transformed(held, visit)
            elif held:
                changes[name] = visit(declared[name], getattr(value, declared[name].subject), held)
        return msgspec.structs.replace(value, **changes)
    if isinstance(value, tuple | list):
        items = cast("tuple[Any, ...] | list[Any]", value)
        return type(items)(_transformed(item, visit) for item in items)
    if isinstance(value, dict):
        pairs = cast("dict[Any, Any]", value)
        return {key: _transformed(item, visit) for key, item in pairs.items()}
    return value


def _declared(described: inspect.Type) -> Personal | None:
    if not isinstance(described, inspect.Metadata):
        return None
    extra = cast("dict[str, Any]", described.extra_json_schema or {}).get(SCHEMA_KEY)
    if extra is None:
        return _declared(described.type)
    return Personal(extra["subject"], extra["lengthMax"], extra["always"])


def _bare(described: inspect.Type) -> inspect.Type:
    return _bare(described.type) if isinstance(described, inspect.Metadata) else described


def _structs(described: Any, seen: set[type]) -> Iterator[type[msgspec.Struct]]:
    """Every struct type that a value of this type can hold."""
    if isinstance(described, inspect.StructType):
        if described.cls in seen:
            return
        seen.add(described.cls)
        yield described.cls
        for field in described.fields:
            yield from _structs(field.type, seen)
    elif isinstance(described, inspect.Type):
        for name in getattr(described, "__struct_fields__", ()):
            inner = getattr(described, name)
            for each in inner if isinstance(inner, tuple) else (inner,):  # pyright: ignore[reportUnknownVariableType]
                yield from _structs(each, seen)
