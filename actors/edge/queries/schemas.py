"""JSON Schemas of the reads: of each listing the request it takes and the answer it gives, and of the error they share.

They stand in the service's metadata. The files in `schema/` are golden copies: drift fails a test, and
`python -P -m actors.edge.queries.schemas --write` renews them after an intended change.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from projections.listing import Listing
from projections.listings import LISTINGS
from protocol import golden
from protocol.query import Answer, Fault, Query

FOLDER = Path(__file__).parent / "schema"


def request_schema(listing: Listing) -> dict[str, Any]:
    """What may be asked."""
    schema = _of(Query)
    where: dict[str, Any] = {name: {"type": "string"} for name in listing.filters}
    schema["properties"]["where"] |= {"properties": where, "additionalProperties": False}
    if not listing.failed:
        schema["properties"]["failed"] |= {"const": False}
    return schema


def answer_schema(listing: Listing) -> dict[str, Any]:
    """What is answered."""
    schema = _of(Answer)
    row = _of(listing.row)
    del row["$schema"]
    schema["$defs"] = {listing.row.__name__: row} | row.pop("$defs", {})
    schema["properties"]["view"] = {"const": listing.name}
    schema["properties"]["rows"] = {"type": "array", "items": {"$ref": f"#/$defs/{listing.row.__name__}"}}
    return schema


def fault_schema() -> dict[str, Any]:
    """What is answered instead, with the headers of a micro service's error."""
    return _of(Fault)


def metadata(listing: Listing) -> dict[str, str]:
    """An endpoint's metadata: its schemas as text."""
    schemas = {"request": request_schema(listing), "response": answer_schema(listing), "error": fault_schema()}
    return {f"{name}_schema": msgspec.json.encode(schema).decode() for name, schema in schemas.items()}


def render() -> dict[str, str]:
    """Every schema file that should be in `FOLDER`: its name and its text."""
    documents: dict[str, Any] = {"fault": fault_schema()}
    for name, listing in LISTINGS.items():
        documents[name] = {"request": request_schema(listing), "answer": answer_schema(listing)}
    return {f"{name}.json": golden.document(document) for name, document in documents.items()}


def _of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Its schema as one object, the definitions it refers to beside its properties."""
    (reference,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    schema = components.pop(reference["$ref"].rpartition("/")[2])
    return {"$schema": golden.JSON_SCHEMA} | schema | ({"$defs": components} if components else {})


def main(arguments: Sequence[str]) -> int:
    """Write the golden files (`--write`), or say which of them differ; 1 when any does, 2 for other arguments."""
    differs = f"{FOLDER.name}/{{name}} differs from the types"
    return golden.keep(FOLDER, render(), arguments, "actors.edge.queries.schemas", differs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
