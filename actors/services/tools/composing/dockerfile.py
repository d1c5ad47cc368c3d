"""A structural check of a Dockerfile: what can be told wrong without building it.

Instruction names and forms follow the Dockerfile reference (docs.docker.com/reference/dockerfile). Not covered: what a
RUN command does, and whether an image exists.
"""

import json
import re
from collections.abc import Callable
from typing import cast

INSTRUCTIONS = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
PORT_MAX = 65_535

_FROM = re.compile(r"(?:--platform=\S+\s+)?(?P<image>\S+)(?:\s+AS\s+(?P<stage>[A-Za-z][\w.-]*))?", re.IGNORECASE)


def instructions(text: str) -> list[tuple[int, str, str]]:
    """(line number from 1, INSTRUCTION, rest) of each; comments and blank lines dropped, continued lines joined."""
    found: list[tuple[int, str, str]] = []
    pending, started = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        started = started or number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        word, _, rest = (pending + line).strip().partition(" ")
        found.append((started, word.upper(), rest.strip()))
        pending, started = "", 0
    if pending:
        found.append((started, pending.split()[0].upper(), ""))
    return found


def problems(text: str, exists: Callable[[str], bool]) -> list[str]:
    """What is wrong, each with its line; empty when nothing is. `exists` knows which paths the build context has."""
    listed = instructions(text)
    wrong: list[str] = []
    stages: list[str] = []
    user = ""
    if not any(word == "FROM" for _, word, _ in listed):
        wrong.append("line 1: there is no FROM")
    for line, word, rest in listed:
        if word not in INSTRUCTIONS:
            wrong.append(f"line {line}: {word} is no instruction")
        elif not rest:
            wrong.append(f"line {line}: {word} says nothing")
        elif word == "FROM":
            wrong += [f"line {line}: {problem}" for problem in _from_problems(rest, stages)]
            user = ""  # Each stage starts as its image's user.
        elif not stages and word != "ARG":
            wrong.append(f"line {line}: {word} stands before the first FROM")
        elif word in ("CMD", "ENTRYPOINT") and not _is_exec_form(rest):
            wrong.append(f"line {line}: {word} must be a JSON list; the shell form swallows signals")
        elif word in ("COPY", "ADD"):
            wrong += [f"line {line}: {problem}" for problem in _copy_problems(rest, stages, exists)]
        elif word == "EXPOSE" and not all(_is_port(part) for part in rest.split()):
            wrong.append(f"line {line}: {rest} is no port")
        elif word == "WORKDIR" and not rest.startswith("/"):
            wrong.append(f"line {line}: WORKDIR is not absolute")
        elif word == "USER":
            user = rest
    if stages and (not user or user.split(":")[0] in ("root", "0")):
        wrong.append("the last stage runs as root")
    return wrong


def _from_problems(rest: str, stages: list[str]) -> list[str]:
    found = _FROM.fullmatch(rest)
    if found is None:
        stages.append("")
        return [f"cannot read FROM {rest}"]
    image, stage = found["image"], found["stage"] or ""
    known = image.lower() in [name.lower() for name in stages if name]
    stages.append(stage)
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if known or image == "scratch" or "@sha256:" in image or (tag and tag != "latest"):
        return []
    return [f"the base image {image} is not pinned to a tag"]


def _copy_problems(rest: str, stages: list[str], exists: Callable[[str], bool]) -> list[str]:
    words = rest.split()
    options = [word for word in words if word.startswith("--")]
    paths = [word for word in words if not word.startswith("--")]
    if len(paths) < 2:
        return ["COPY needs a source and a destination"]
    origin = next((option.partition("=")[2] for option in options if option.startswith("--from=")), None)
    if origin is not None:
        return [] if origin in stages[:-1] else [f"there is no earlier stage {origin}"]
    return [f"{path} is not in the repository" for path in paths[:-1] if ".." in path.split("/") or not exists(path)]


def _is_exec_form(rest: str) -> bool:
    try:
        words: object = json.loads(rest)
    except ValueError:
        return False
    return (
        isinstance(words, list) and all(isinstance(word, str) for word in cast("list[object]", words)) and words != []
    )


def _is_port(text: str) -> bool:
    number = text.partition("/")[0]
    return number.isdecimal() and 0 < int(number) <= PORT_MAX
