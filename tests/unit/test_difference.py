"""What changed between two values: its operations, applied by rule, make the second of the first."""

import copy
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cli.replaying import difference
from actors.cli.replaying.difference import Change, changes

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b/c", "~", "~1"])
NAMES = st.sampled_from(["", "a", "b", "a/b", "~", "~0", "0"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


def _keys(holder: Any) -> list[Any]:
    return list(range(len(cast("list[Any]", holder)))) if isinstance(holder, list) else list(holder)


def _key(holder: Any, name: str) -> Any:
    return int(name) if isinstance(holder, list) else name


def apply(value: Any, operations: list[Change]) -> Any:
    """As RFC 6902 has it; what an operation says was there must have been there."""
    document = {"": copy.deepcopy(value)}
    for each in operations:
        names = [name.replace("~1", "/").replace("~0", "~") for name in each.path.split("/")]
        holder: Any = document
        for name in names[:-1]:
            holder = holder[_key(holder, name)]
        key = _key(holder, names[-1])
        if each.op != "add":
            assert msgspec.json.encode(holder[key]) == msgspec.json.encode(each.before)
        if each.op == "remove":
            del holder[key]
        elif each.op == "add" and isinstance(holder, list):
            assert key <= len(cast("list[Any]", holder))
            holder.insert(key, each.value)
        else:
            assert (key in dict.fromkeys(_keys(holder))) is (each.op == "replace")
            holder[key] = each.value
    return document[""]


@settings(max_examples=300, deadline=None)
@given(before=VALUES, after=VALUES)
def test_applied_they_make_the_second_of_the_first(before: Any, after: Any) -> None:
    operations = list(changes(before, after))
    assert msgspec.json.encode(apply(before, operations), order="sorted") == msgspec.json.encode(after, order="sorted")
    same = msgspec.json.encode(before, order="sorted") == msgspec.json.encode(after, order="sorted")
    assert (not operations) == same


@settings(max_examples=100, deadline=None)
@given(before=st.lists(LEAVES, max_size=12), after=st.lists(LEAVES, max_size=12))
def test_a_list_too_long_to_look_around_in_is_compared_in_place(before: list[Any], after: list[Any]) -> None:
    usual, difference.LOOKED_FOR_MAX = difference.LOOKED_FOR_MAX, 3
    try:
        assert apply(before, list(changes(before, after))) == after
    finally:
        difference.LOOKED_FOR_MAX = usual


SMALL: list[tuple[Any, Any, list[tuple[Any, ...]]]] = [
    ({"phase": "active"}, {"phase": "concluded"}, [("replace", "/phase", "active", "concluded")]),
    ({"n": 1}, {"n": True}, [("replace", "/n", 1, True)]),
    ({"m": ["a", "b", "c"]}, {"m": ["b", "c", "d"]}, [("remove", "/m/0", "a", None), ("add", "/m/2", None, "d")]),
    ({"m": [{"x": 1, "y": 2}]}, {"m": [{"x": 1, "y": 3}]}, [("replace", "/m/0/y", 2, 3)]),
    ({"a/b": 1}, {}, [("remove", "/a~1b", 1, None)]),
    (None, {}, [("replace", "", None, {})]),
]


@pytest.mark.parametrize(("before", "after", "said"), SMALL)
def test_few_words_for_a_small_change(before: Any, after: Any, said: list[tuple[Any, ...]]) -> None:
    found = [
        (each.op, each.path, *(None if value is msgspec.UNSET else value for value in (each.before, each.value)))
        for each in changes(before, after)
    ]
    assert found == said


def test_as_json_it_is_a_patch() -> None:
    (change,) = changes({"a": 1}, {"a": None})
    assert msgspec.json.encode(change) == b'{"op":"replace","path":"/a","value":null,"before":1}'
    (added,) = changes({}, {"a": None})
    assert msgspec.json.encode(added) == b'{"op":"add","path":"/a","value":null}'
