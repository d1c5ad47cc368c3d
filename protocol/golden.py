"""Files that are generated and kept in the repository: written by one command, whose other use is to find drift."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

JSON_SCHEMA = "https://json-schema.org/draft/2020-12/schema"  # The dialect of every schema here.


def document(value: Any) -> str:
    """The text of a JSON file that people read and compare."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def keep(folder: Path, wanted: Mapping[str, str], arguments: Sequence[str], module: str, differs: str) -> int:
    """Have `folder` hold exactly the JSON files `wanted` (`--write`), or say on stderr which of them differ; 1 when any
    does, 2 for other arguments. `module` is how the command is called, `differs` what is said of a file {name}."""
    if list(arguments) not in ([], ["--write"]):
        sys.stderr.write(f"usage: python -P -m {module} [--write]\n")
        return 2
    actual = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    differing = sorted(name for name in wanted.keys() | actual.keys() if wanted.get(name) != actual.get(name))
    if not arguments:
        sys.stderr.writelines(f"{differs.format(name=name)}\n" for name in differing)
        return 1 if differing else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in wanted:
            (folder / name).write_text(wanted[name], "utf-8")
        else:
            (folder / name).unlink()
    return 0
