"""What a container of a project would be, as far as its own files say; whatever they do not say becomes a Todo."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from actors.services.tools.programs.checkout import read_text

USER_ID = 10_001  # Above the range that distributions give to accounts of their own.
NAME_CHARS_MAX = 50  # A Kubernetes label value ends at 63; what is appended has to fit.

_SHELL_SIGNS = re.compile(r"[$&|;<>()`*?\\]")
_PROCFILE_WEB = re.compile(r"^web:\s*(?P<command>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Todo:
    """Something a person has to settle: a short rule name and what to do."""

    rule: str
    text: str

    @property
    def line(self) -> str:
        """The marked line for a file, without its comment sign. One line, whatever names the repository brings."""
        return " ".join(f"TODO({self.rule}): {self.text}".split())


@dataclass(frozen=True, slots=True)
class Plan:
    """A draft: the project's name and version ("" = none stated), the Dockerfile's body, the numeric user it runs as,
    the port it is known to listen on (None: see `listening`), what is left to do, and the files it rests on."""

    ecosystem: str
    name: str
    version: str
    base_image: str
    dockerfile: str
    user_id: int
    port: int | None
    todos: tuple[Todo, ...]
    sources: tuple[str, ...]


def start_todo(what: str) -> Todo:
    """The Todo of a project whose files name no command to start."""
    return Todo("start-command", f"{what}; replace CMD, which only fails with a message, by the command that starts it")


def procfile_command(source: Path) -> tuple[str, ...]:
    """The words of the Procfile's web line, () when there is none or when it needs a shell."""
    found = _PROCFILE_WEB.search(read_text(source, "Procfile") or "")
    return () if found is None else plain_words(found["command"])


def plain_words(command: str) -> tuple[str, ...]:
    """The words of a command line that needs no shell to run, else ()."""
    if _SHELL_SIGNS.search(command):
        return ()
    try:
        words = tuple(shlex.split(command))
    except ValueError:
        return ()
    # A leading NAME=value is the shell's business too.
    return () if not words or "=" in words[0] else words


def label(name: str) -> str:
    """The name as an RFC 1123 label, fit for an image and a Kubernetes object; "app" when nothing of it is left."""
    lowered = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:NAME_CHARS_MAX].strip("-")
    return f"app-{lowered}" if lowered[:1].isdigit() else lowered or "app"


def static_site(source: Path, fallback_name: str) -> Plan | None:
    """A plan for a folder of web pages: `index.html` in the root, `public` or `site`; None when there is none."""
    folder = next((name for name in (".", "public", "site") if (source / name / "index.html").is_file()), None)
    if folder is None:
        return None
    image = "nginxinc/nginx-unprivileged:1.28-alpine"  # listens on 8080 as user 101, both stated by the image
    page = "index.html" if folder == "." else f"{folder}/index.html"
    body = f"""FROM {image}
COPY {folder} /usr/share/nginx/html
USER 101:101
EXPOSE 8080
"""
    return Plan("static", fallback_name, "", image, body, 101, 8080, (), (page,))


def table_of(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The table under `name`, or an empty one: foreign files hold anything anywhere."""
    found = raw.get(name)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def text_of(value: object) -> str:
    """The value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""
