"""JSON Schemas of the wire, generated from the types. The files in `schema/` are golden copies; drift fails a test.

`python -P -m protocol.schemas --write` renews them after an intended change. A released tag never changes its shape: a
change of a released schema other than a new optional field is a mistake, whatever the test says.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Union

import msgspec

import protocol
from protocol import golden
from protocol.message import Command, Event

FOLDER = Path(__file__).parent / "schema"


def render() -> dict[str, str]:
    """Every schema file that should be in `FOLDER`: its name ("task.json") and its text."""
    return {f"{kind}.json": _document(kind, commands, events) for kind, commands, events in messages()}


def messages() -> Iterator[tuple[str, Sequence[type[Command]], Sequence[type[Event]]]]:
    """Kind, commands and events of every module of this package that declares either, by name."""
    for found in sorted(pkgutil.iter_modules(protocol.__path__), key=lambda module: module.name):
        if found.name == Path(__file__).stem:
            continue
        module = importlib.import_module(f"protocol.{found.name}")
        commands: Sequence[type[Command]] = getattr(module, "COMMANDS", ())
        events: Sequence[type[Event]] = getattr(module, "EVENTS", ())
        if commands or events:
            yield found.name, commands, events


def _document(kind: str, commands: Sequence[type[Command]], events: Sequence[type[Event]]) -> str:
    sides: dict[str, Sequence[type[msgspec.Struct]]] = {"commands": commands, "events": events}
    present = {side: classes for side, classes in sides.items() if classes}
    unions: list[Any] = [Union[tuple(classes)] for classes in present.values()]  # noqa: UP007 - of a tuple at run time
    schemas, components = msgspec.json.schema_components(unions, ref_template="#/$defs/{name}")
    document = {
        "$schema": golden.JSON_SCHEMA,
        "title": kind,
        "anyOf": [{"$ref": f"#/$defs/{side}"} for side in present],
        "$defs": dict(zip(present, schemas, strict=True)) | dict(sorted(components.items())),
    }
    return golden.document(document)


def main(arguments: Sequence[str]) -> int:
    """Write the golden files (`--write`), or say which of them differ; 1 when any does, 2 for other arguments."""
    return golden.keep(
        FOLDER, render(), arguments, "protocol.schemas", f"{FOLDER.name}/{{name}} differs from the types"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
