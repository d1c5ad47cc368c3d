"""Foreign documents as tables: read strictly, asked leniently, since a foreign file holds anything anywhere."""

import tomllib
from collections.abc import Mapping
from typing import Any, cast

from actors.services.tools.analysis.package import Malformed


def read_toml(text: str) -> Mapping[str, Any]:
    """The document. Raises Malformed."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Malformed(f"no TOML: {error}") from error


def table_of(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table under `key`, or an empty one."""
    return as_table(document.get(key))


def as_table(value: object) -> Mapping[str, Any]:
    """The value if it is a table, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
