"""The demo: the company reviews a repository for release."""

import os
import re
from pathlib import Path

from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, THINKING, AsJson, ModelChoice, Place
from actors.cli.run import Job, Report, carry_out, find_repository, random_letters

TITLE = "review this repository for release"
MARK = "TROUPE_DEMO"  # Set for everything a demo runs: the tests it runs may be ours, which run demos.
NAME_LENGTH_MAX = 40


def demo(
    repo: Path | None = None,
    /,
    *,
    report: Report = None,
    as_json: AsJson = False,
    place: Place = HERE,
    thinking: ModelChoice = THINKING,
) -> int:
    """Let thirteen roles review a git repository for release.

    Parameters
    ----------
    repo
        The repository; it is only read. Default: this checkout, or the one you stand in.
    """
    if os.environ.get(MARK):
        raise Stop(Exit.USAGE, f"{MARK} is set: this is a demo already, and a demo does not start another")
    os.environ[MARK] = "1"
    found = find_repository(repo) if repo is not None else _default_repository()
    return carry_out(Job(TITLE, found, task_id(found), report), place.settings(thinking), as_json)


def task_id(repo: Path) -> str:
    """A readable id of one review ("review-parcels-k3x9")."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", repo.name)[:NAME_LENGTH_MAX].strip("-") or "repository"
    return f"review-{name}-{random_letters(4)}"


def _default_repository() -> Path:
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / ".git").exists() else find_repository(Path.cwd())
