"""JSDoc coverage: which exported functions and classes of JavaScript and TypeScript files say what they are for.

A conservative scan of lines, not a parse: seen is what is exported where it is declared, at the start of a line. What
`export {…}` or `module.exports` names later, and what a class holds, is not counted, neither as documented nor as not.
"""

import re
from collections.abc import Iterator, Sequence

from actors.services.tools.analysis.docstrings import Documentable

COMMENT_LINES_MAX = 300  # looked back through for the start of a comment

_EXPORT = re.compile(
    r"export\s+(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?"
    r"(?P<kind>function|class)\b\s*\*?\s*(?P<name>[A-Za-z_$][\w$]*)?"
)
_ARROW = re.compile(
    r"export\s+(?:const|let|var)\s+(?P<name>[A-Za-z_$][\w$]*)\s*(?::[^=]{0,200})?=\s*"
    r"(?:async\s+)?(?:function\b|\([^()]{0,400}\)\s*(?::[^={]{0,200})?=>|[A-Za-z_$][\w$]*\s*=>)"
)


def documentables(text: str) -> Iterator[Documentable]:
    """The exported functions and classes in the order of the text; of overloads one, documented if any of them is."""
    lines = text.split("\n")
    seen: dict[str, Documentable] = {}
    for number in _code(lines):
        found = _EXPORT.match(lines[number]) or _ARROW.match(lines[number])
        if found is None:
            continue
        name = found["name"] or "default"
        if name in ("extends", "implements"):  # `export default class extends Base`
            name = "default"
        kind = found.groupdict().get("kind") or "function"
        documented = _documented(lines, number)
        if name not in seen or (documented and not seen[name].documented):
            line = seen[name].line if name in seen else number + 1
            seen[name] = Documentable(name, kind, line, documented)
    yield from seen.values()


def _code(lines: Sequence[str]) -> Iterator[int]:
    """The numbers of the lines that begin neither in a comment nor in a template literal, as far as backticks tell."""
    in_comment = in_template = False
    for number, line in enumerate(lines):
        bare = line.strip()
        if in_comment:
            in_comment = "*/" not in bare
        elif not in_template and bare.startswith("/*"):
            in_comment = "*/" not in bare[2:]
        elif in_template or not bare.startswith("//"):
            if not in_template:
                yield number
            in_template ^= line.replace("\\`", "").count("`") % 2 == 1


def _documented(lines: Sequence[str], number: int) -> bool:
    """Whether the comment directly above the line, decorators between them allowed, is a JSDoc comment with words."""
    above = number - 1
    while above >= 0 and lines[above].startswith("@"):
        above -= 1
    if above < 0 or not lines[above].rstrip().endswith("*/"):
        return False
    for first in range(above, max(-1, above - COMMENT_LINES_MAX), -1):
        bare = lines[first].lstrip()
        if bare.startswith("/*"):
            words = " ".join(lines[first : above + 1])
            return bare.startswith("/**") and bool(re.search(r"\w", words))
    return False
