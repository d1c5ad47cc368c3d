"""Which licence a text is, by phrases that occur in that licence only. A guess by form, no legal opinion."""

import re

UNRECOGNISED = "unrecognised"

HEAD_CHARS = 1_000  # where a licence that has a title says it; further down it may speak of others

_TITLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # The first whose phrases all occur in the head wins; the more special stand before the more general.
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-3.0", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("GPL-3.0", ("gnu general public license", "version 3")),
    ("GPL-2.0", ("gnu general public license", "version 2")),
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("EPL-2.0", ("eclipse public license", "2.0")),
    ("EUPL-1.2", ("european union public licence", "1.2")),
    ("BSL-1.0", ("boost software license", "version 1.0")),
    ("BUSL-1.1", ("business source license 1.1",)),
    ("CC0-1.0", ("cc0 1.0 universal",)),
    ("CC-BY-4.0", ("attribution 4.0 international",)),
    ("PostgreSQL", ("postgresql license",)),
)
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    # For licences without a title: phrases anywhere in the text.
    ("Unlicense", ("free and unencumbered software released into the public domain",)),
    ("Zlib", ("in no event will the authors be held liable", "altered source versions must be plainly marked")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose",)),
    ("MIT", ("permission is hereby granted, free of charge", "this permission notice shall be included")),
    ("MIT-0", ("permission is hereby granted, free of charge", "without restriction")),
)
_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+\-() ]{2,80})")


def identify(text: str) -> str:
    """The SPDX identifier of a licence text, or UNRECOGNISED for a text that is none of those known here."""
    tag = _TAG.search(text)
    if tag:
        return tag[1].strip()
    plain = re.sub(r"[\s*#>]+", " ", text).lower()
    for place, known in ((plain[:HEAD_CHARS], _TITLES), (plain, _PHRASES)):
        for name, phrases in known:
            if all(phrase in place for phrase in phrases):
                return name
    return UNRECOGNISED
