"""A copy of the clone that foreign code may write, in the run's own scratch folder."""

from pathlib import Path

from actors.services.tools.programs.git import git

COPY_TIMEOUT_S = 60.0


def make(source: Path, root: Path) -> None:
    """A checkout at `root`, links included; with history, since some builds read their version there.

    Raises GitError, TimeoutError.
    """
    git(
        ["clone", "--quiet", "--no-hardlinks", "--template=", "--no-checkout", str(source), str(root)],
        source.parent,
        timeout_s=COPY_TIMEOUT_S,
    )
    git(["config", "core.symlinks", "true"], root)
    git(["reset", "--quiet", "--hard", "HEAD"], root, timeout_s=COPY_TIMEOUT_S)


def relative(text: str, root: str) -> str:
    """`text` without the copy's folder: it is another one in each run, and gone by the time somebody reads it."""
    return text.replace(f"{root}/", "").replace(root, ".")
