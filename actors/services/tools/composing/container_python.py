"""The container of a Python project: from pyproject.toml, setup.cfg, a lock or requirements file, and its scripts."""

import configparser
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from actors.services.tools.composing.container import (
    USER_ID,
    Plan,
    Todo,
    procfile_command,
    start_todo,
    table_of,
    text_of,
)
from actors.services.tools.programs.checkout import read_text

# Minor versions that have an official image, the newest first; a project without a bound gets the first.
PYTHON_MINORS = ("3.14", "3.13", "3.12", "3.11", "3.10")
_VARIANT = "slim-bookworm"
_LOCKS = ("requirements.lock", "requirements.txt")
_MAIN_FILES = ("main.py", "app.py", "server.py")
_NEEDS_CONTEXT = re.compile(r"^\s*(?:-r|-c|-e|--requirement|--constraint|--editable|\.|file:)", re.MULTILINE)
_CARET = re.compile(r"^\^(\d+)\.(\d+)(?:\.\d+)?$")


@dataclass(slots=True)
class _Project:
    """What the project's files state; "" and empty where they do not."""

    name: str = ""
    version: str = ""
    requires: str = ""
    scripts: dict[str, str] = field(default_factory=dict[str, str])
    installable: bool = False
    computed_version: bool = False
    sources: list[str] = field(default_factory=list[str])


def python_plan(source: Path, fallback_name: str) -> Plan | None:
    """The plan of a Python project, None when nothing in the root says it is one."""
    project = _project(source)
    lock = next((name for name in _LOCKS if (read_text(source, name) or "").strip()), "")
    mains = [name for name in _MAIN_FILES if read_text(source, name) is not None]
    if not (project.installable or lock or mains):
        return None
    todos: list[Todo] = []
    image = _image(project.requires, todos)
    start = _start(source, project, mains, todos)
    if lock:
        project.sources.append(lock)
    else:
        todos.append(
            Todo("dependency-lock", "no requirements.lock or requirements.txt; versions are whatever pip finds")
        )
    if project.computed_version:
        # The history is not copied into the build, and most tools compute a version from its tags.
        todos.append(Todo("version", "the version is computed when building; pass it in if it comes from git's tags"))
    body = _dockerfile(image, project.installable, _install(source, lock, project.installable), start)
    return Plan(
        "python",
        project.name or fallback_name,
        project.version,
        image,
        body,
        USER_ID,
        None,
        tuple(todos),
        tuple(project.sources),
    )


def _project(source: Path) -> _Project:
    project = _Project()
    text = read_text(source, "pyproject.toml")
    if text is not None:
        try:
            _from_pyproject(tomllib.loads(text), project)
        except tomllib.TOMLDecodeError:
            return project  # An unreadable file states nothing.
        if project.installable:
            project.sources.append("pyproject.toml")
    legacy = configparser.ConfigParser(interpolation=None)
    text = read_text(source, "setup.cfg")
    if not project.installable and text is not None:
        try:
            legacy.read_string(text)
        except configparser.Error:
            return project
        project.name = legacy.get("metadata", "name", fallback="")
        project.version = legacy.get("metadata", "version", fallback="")
        project.requires = legacy.get("options", "python_requires", fallback="")
        project.installable = bool(project.name)
        entries = legacy.get("options.entry_points", "console_scripts", fallback="")
        project.scripts = {
            name.strip(): "" for name, sign, _ in (e.partition("=") for e in entries.splitlines()) if sign
        }
        project.sources += ["setup.cfg"] if project.installable else []
    if not project.installable and read_text(source, "setup.py") is not None:
        project.installable = True
        project.sources.append("setup.py")
    return project


def _from_pyproject(raw: dict[str, Any], project: _Project) -> None:
    standard, poetry = table_of(raw, "project"), table_of(table_of(raw, "tool"), "poetry")
    chosen = standard or poetry
    project.installable = bool(chosen.get("name"))
    project.name = text_of(chosen.get("name"))
    project.version = text_of(chosen.get("version"))
    project.requires = text_of(standard.get("requires-python")) or _poetry_python(poetry)
    dynamic = standard.get("dynamic")
    project.computed_version = isinstance(dynamic, list) and "version" in dynamic
    project.scripts = {name: text_of(target) for name, target in table_of(chosen, "scripts").items()}


def _poetry_python(poetry: dict[str, Any]) -> str:
    stated = text_of(table_of(poetry, "dependencies").get("python"))
    caret = _CARET.match(stated)
    return stated if caret is None else f">={caret[1]}.{caret[2]},<{int(caret[1]) + 1}"


def _image(requires: str, todos: list[Todo]) -> str:
    minor = PYTHON_MINORS[0]
    if not requires:
        todos.append(Todo("python-version", "no requires-python; the newest Python with an official image is used"))
    else:
        try:
            allowed = SpecifierSet(requires)
            # The bound is on full versions: ask for a late patch, so that >=3.11.4 does not exclude 3.11.
            fitting = [each for each in PYTHON_MINORS if allowed.contains(f"{each}.99")]
        except InvalidSpecifier:
            fitting = []
        if fitting:
            minor = fitting[0]
        else:
            todos.append(Todo("python-version", "requires-python names no version with a known image; choose one"))
    todos.append(Todo("image-digest", "pin the base image to its digest; a tag can move"))
    return f"python:{minor}-{_VARIANT}"


def _start(source: Path, project: _Project, mains: list[str], todos: list[Todo]) -> tuple[str, ...]:
    """The words of CMD: the Procfile, else a script of the project, else `python -m`, else a main file of the root."""
    web = procfile_command(source)
    if web:
        project.sources.append("Procfile")
        return web
    if project.scripts:
        named = project.name if project.name in project.scripts else sorted(project.scripts)[0]
        if len(project.scripts) > 1:
            others = ", ".join(sorted(set(project.scripts) - {named}))
            todos.append(Todo("start-command", f"check that {named} is the script to start, not one of: {others}"))
        return (named,)
    package = re.sub(r"[-.]+", "_", project.name)
    for folder in (f"src/{package}", package):
        if package and read_text(source, f"{folder}/__main__.py") is not None:
            project.sources.append(f"{folder}/__main__.py")
            return ("python", "-m", package)
    if mains and not project.installable:
        project.sources.append(mains[0])
        return ("python", mains[0])
    todos.append(start_todo("no script, __main__.py, main file or Procfile names a command to start"))
    return ("python", "-c", "raise SystemExit('no start command: see deploy/Dockerfile')")


def _install(source: Path, lock: str, installable: bool) -> str:
    """The build stage's steps that install dependencies first, so that a change of code does not install them again."""
    lines: list[str] = []
    content = read_text(source, lock) if lock else None
    if content is not None:
        lines.append("COPY . ." if _NEEDS_CONTEXT.search(content) else f"COPY {lock} ./")
        hashes = " --require-hashes" if "--hash=" in content else ""
        lines.append(f"RUN pip install --no-cache-dir{hashes} -r {lock}")
    if "COPY . ." not in lines:
        lines.append("COPY . .")
    if installable:
        lines.append(f"RUN pip install --no-cache-dir{' --no-deps' if lock else ''} .")
    return "\n".join(lines)


def _dockerfile(image: str, installable: bool, install: str, start: tuple[str, ...]) -> str:
    # An installed project lives in the environment; loose files have to come along.
    files = "" if installable else "COPY --from=build /src /app\n"
    return f"""FROM {image} AS build
WORKDIR /src
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
{install}

FROM {image}
RUN groupadd --gid {USER_ID} app && \\
    useradd --uid {USER_ID} --gid {USER_ID} --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /opt/venv /opt/venv
{files}WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER {USER_ID}:{USER_ID}
CMD {json.dumps(start)}
"""
