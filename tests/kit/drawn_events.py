"""Events of every type there is, drawn by hypothesis: few names, so that events meet; odd texts; any order."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from protocol.message import Event, tag_of
from protocol.schemas import messages
from protocol.subjects import Address
from tests.kit.board_run import Happened

EVENTS: tuple[type[Event], ...] = tuple(event for _, _, events in messages() for event in events)
_TASKS, _ROLES = ("t1", "t2"), ("architect", "tester", "orchestrator")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "task": _TASKS,
    "name": _TASKS,
    "role": _ROLES,
    "kind": (*_ROLES, "task"),
    "agent": ("", "tester-1", "tester-2"),
    "tool": ("tests.run", "lint.fix"),
    "request": ("r1", "r2"),
    "call": ("tools/t1@1", "tools/t1@2", "tools/t2@1", "elsewhere"),
    "id": ("c1", "c2"),
    "provider": ("", "openai"),
    "model": ("", "small-1", "large-1"),
    "path": ("a.md", "b.md"),
    "subject": ("/a", "/b"),
    "verdict": ("", "go", "no-go"),
}
_ODD = st.sampled_from(("", "x", "two words", "\0", "\\u0000", "\\\\\0", "'\"{},", "\u2028\U0001f600", "0" * 40))
_PLACES = {  # Where streams are that no task has of its own.
    "memory": "main", "registry": "main", "runtime": "7", "subject": "k1",
}  # fmt: skip
_SCALARS: Mapping[Any, st.SearchStrategy[Any]] = {
    str: _ODD,
    int: st.integers(0, 10**9),
    float: st.floats(0, 10**6),
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
}


def _value(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of that name and type may hold."""
    origin = get_origin(hint)
    if origin is Literal:
        return st.sampled_from(get_args(hint))
    if origin in (Union, UnionType):
        return st.one_of(*(_value(name, part) for part in get_args(hint)))
    if origin is tuple:
        return st.lists(_value(name, get_args(hint)[0]), max_size=2).map(tuple)
    if hint is Any:
        return _ODD
    if origin is dict:
        return st.dictionaries(_ODD, _value(name, get_args(hint)[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _struct(hint)
    if hint is type(None):
        return st.none()
    return st.sampled_from(_NAMES[name]) if hint is str and name in _NAMES else _SCALARS[hint]


def _struct(made: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(made)
    return st.builds(made, **{name: _value(name, hints[name]) for name in made.__struct_fields__})


def _happened(event: type[Event]) -> st.SearchStrategy[Happened]:
    """An event of that type, in a stream of its kind."""
    kind = tag_of(event).partition(".")[0]
    place = _PLACES.get(kind)
    return st.builds(
        Happened,
        st.builds(
            Address,
            st.sampled_from(("demo", "demo", "other")),
            st.sampled_from(_ROLES) if kind == "role" else st.just(kind),
            st.sampled_from(_TASKS) if place is None else st.just(place),
        ),
        _struct(event),
        st.sampled_from(_TASKS),
        st.integers(0, 200_000),
    )


def runs(
    events: tuple[type[Event], ...] = EVENTS, least: int = 15, most: int = 50
) -> st.SearchStrategy[list[Happened]]:
    """Some events of these types, in any order, at any times."""
    return st.lists(st.one_of(*(_happened(event) for event in events)), min_size=least, max_size=most)
