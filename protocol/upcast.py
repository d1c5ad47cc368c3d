"""Upcasters: how a retired tag's stored bytes are read as what took its place.

A released tag is frozen for ever, and bytes that were stored under it are never rewritten. When a message needs another
shape it gets a new tag, the old class goes, and one `Upcast` in the module's RETIRED says how the old fields become the
new ones. Upcasts follow one another (v1 to v2 to v3), so that each is written once, against its direct successor, and
never looked at again. They are pure: the same bytes are read as the same message for ever.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Upcast:
    """`change` gets the decoded fields of a message with the tag `retired`, without "type", and returns those of the
    same message with the tag `to`. It may raise LookupError, TypeError or ValueError for fields that the retired tag
    never had."""

    retired: str
    to: str
    change: Callable[[Fields], Fields]


Chain = tuple[Upcast, ...]
Chains = Mapping[str, Chain]


def chains(current: Collection[str], retired: Iterable[Upcast]) -> Chains:
    """For each retired tag the upcasts that lead to one of `current`, in order.

    ValueError for a tag that is retired twice or still in use, and for a chain that runs in a circle or into nothing.
    """
    steps: dict[str, Upcast] = {}
    for upcast in retired:
        if upcast.retired in current:
            raise ValueError(f"the tag {upcast.retired!r} is retired and still has a class; take one of them away")
        if upcast.retired in steps:
            raise ValueError(f"the tag {upcast.retired!r} is retired twice; keep one upcast for it")
        steps[upcast.retired] = upcast
    return {tag: _chain(tag, steps, current) for tag in steps}


def leading_to(current: Collection[str], retired: Iterable[Upcast]) -> tuple[Upcast, ...]:
    """Those of `retired` whose chain ends in one of `current`: a reader of some messages needs no others."""
    every = tuple(retired)
    wanted, before = set(current), -1
    while len(wanted) > before:
        before = len(wanted)
        wanted.update(upcast.retired for upcast in every if upcast.to in wanted)
    return tuple(upcast for upcast in every if upcast.to in wanted)


def upcast(chain: Chain, fields: Fields) -> Fields:
    """The fields as the chain's end has them, "type" included."""
    rest = {name: value for name, value in fields.items() if name != "type"}
    for step in chain:
        rest = step.change(dict(rest))
    return {"type": chain[-1].to, **rest}


def _chain(tag: str, steps: Mapping[str, Upcast], current: Collection[str]) -> Chain:
    found = [steps[tag]]
    while (to := found[-1].to) not in current:
        if any(step.retired == to for step in found):
            raise ValueError(f"the upcasts of {tag!r} run in a circle: {_words(found)}; end it at a tag with a class")
        if to not in steps:
            raise ValueError(f"the upcasts of {tag!r} end at a tag without a class: {_words(found)}; add what is next")
        found.append(steps[to])
    return tuple(found)


def _words(found: list[Upcast]) -> str:
    return " → ".join([found[0].retired, *(step.to for step in found)])
