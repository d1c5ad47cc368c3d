"""The container of a Node project: from package.json, its lock file and its scripts."""

import json
import re
from pathlib import Path
from typing import Any, cast

from actors.services.tools.composing.container import (
    Plan,
    Todo,
    plain_words,
    procfile_command,
    start_todo,
    table_of,
    text_of,
)
from actors.services.tools.programs.checkout import read_text

# Even major versions (long-term support), the newest first; a project without a bound gets the first.
NODE_MAJORS = (24, 22, 20)
NODE_USER_ID = 1000  # The user `node` that the official images bring.
_VARIANT = "bookworm-slim"
_INSTALL = (  # lock file, steps before, command, command that drops what only the build needs
    ("package-lock.json", "", "npm ci", "npm prune --omit=dev"),
    ("npm-shrinkwrap.json", "", "npm ci", "npm prune --omit=dev"),
    ("pnpm-lock.yaml", "RUN corepack enable\n", "pnpm install --frozen-lockfile", "pnpm prune --prod"),
    ("yarn.lock", "RUN corepack enable\n", "yarn install --frozen-lockfile", ""),
)
_BOUND = re.compile(r"(\^|~|>=|>|<=|<|=)?\s*v?(\d+)(?:\.(\d+|x|\*))?(?:\.(\d+|x|\*))?")


def node_plan(source: Path, fallback_name: str) -> Plan | None:
    """The plan of a Node project, None when there is no package.json that can be read."""
    package = _package(source)
    if package is None:
        return None
    todos: list[Todo] = []
    sources = ["package.json"]
    image = f"node:{_major(package, todos)}-{_VARIANT}"
    todos.append(Todo("image-digest", "pin the base image to its digest; a tag can move"))
    start = _start(source, package, sources, todos)
    body = _dockerfile(image, _build(source, package, sources, todos), start)
    name = text_of(package.get("name")).rpartition("/")[2] or fallback_name
    version = text_of(package.get("version"))
    return Plan("node", name, version, image, body, NODE_USER_ID, None, tuple(todos), tuple(sources))


def _package(source: Path) -> dict[str, Any] | None:
    try:
        found: object = json.loads(read_text(source, "package.json") or "")
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _major(package: dict[str, Any], todos: list[Todo]) -> int:
    stated = text_of(table_of(package, "engines").get("node"))
    if not stated:
        todos.append(Todo("node-version", "no engines.node; the newest long-term version with a known image is used"))
        return NODE_MAJORS[0]
    for major in NODE_MAJORS:
        if any(_allows(alternative, major) for alternative in stated.split("||")):
            return major
    todos.append(Todo("node-version", "engines.node names no long-term version with a known image; choose one"))
    return NODE_MAJORS[0]


def _allows(bounds: str, major: int) -> bool:
    """Whether the newest release of `major` lies within the bounds; only the major version is weighed."""
    if not bounds.strip() or bounds.strip() in ("*", "x"):
        return True
    found = list(_BOUND.finditer(bounds))
    if not found or _BOUND.sub("", bounds).strip():
        return False  # What cannot be read is not allowed by it.
    return all(_within(sign or "=", int(number), minor or "", major) for sign, number, minor, _ in map(_groups, found))


def _groups(found: re.Match[str]) -> tuple[str, str, str, str]:
    return found[1], found[2], found[3], found[4]


def _within(sign: str, number: int, minor: str, major: int) -> bool:
    match sign:
        case ">=":
            return major >= number
        case ">":
            # >20 leaves out all of 20, >20.1 only its start.
            return major >= number if minor.isdecimal() else major > number
        case "<":
            return major < number or (major == number and minor.isdecimal() and int(minor) > 0)
        case "<=":
            return major <= number
        case _:
            return major == number


def _start(source: Path, package: dict[str, Any], sources: list[str], todos: list[Todo]) -> tuple[str, ...]:
    """The words of CMD: the Procfile, else the start script, else the first `bin`, else server.js, as npm does."""
    web = procfile_command(source)
    if web:
        sources.append("Procfile")
        return web
    script = text_of(table_of(package, "scripts").get("start"))
    if script:
        words = plain_words(script)
        # node as the first process gets the stop signal; npm would stand in between.
        return words if words[:1] == ("node",) else ("npm", "run", "start")
    named = package.get("bin")
    binary = text_of(named) or next(iter(sorted(map(text_of, table_of(package, "bin").values()))), "")
    if binary and read_text(source, binary) is not None:
        return ("node", binary)
    if read_text(source, "server.js") is not None:
        sources.append("server.js")
        return ("node", "server.js")
    todos.append(start_todo("no start script, bin, server.js or Procfile names a command to start"))
    return ("node", "-e", "console.error('no start command: see deploy/Dockerfile'); process.exit(1)")


def _build(source: Path, package: dict[str, Any], sources: list[str], todos: list[Todo]) -> str:
    depends = any(table_of(package, key) for key in ("dependencies", "devDependencies", "optionalDependencies"))
    build = "RUN npm run build\n" if text_of(table_of(package, "scripts").get("build")) else ""
    lock, before, install, prune = next(
        (each for each in _INSTALL if read_text(source, each[0]) is not None),
        ("", "", "npm install", "npm prune --omit=dev"),
    )
    if lock:
        sources.append(lock)
    elif depends:
        todos.append(Todo("dependency-lock", "no lock file; versions are whatever npm finds"))
    else:
        return f"COPY . .\n{build}"
    if lock == "yarn.lock":
        todos.append(Todo("dev-dependencies", "yarn keeps development dependencies; drop them from the last stage"))
    files = f"package.json {lock}".strip()
    # --ignore-scripts is not set: native modules are built by install scripts.
    after = f"RUN {prune}\n" if prune else ""
    return f"{before}COPY {files} ./\nRUN {install}\nCOPY . .\n{build}{after}"


def _dockerfile(image: str, build: str, start: tuple[str, ...]) -> str:
    return f"""FROM {image} AS build
WORKDIR /app
{build}
FROM {image}
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app /app
USER {NODE_USER_ID}:{NODE_USER_ID}
CMD {json.dumps(start)}
"""
