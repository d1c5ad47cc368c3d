"""Git for programs that read foreign repositories: nothing that a repository's settings or attributes name is run.

Hooks, filters, fsmonitor, pagers, editors, prompts, signing, external diffs, text conversions and every transport but
local files are off; the user's own configuration is not read; optional locks are not taken, so a repository that is
only read is not written.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GIT_TIMEOUT_S = 60.0
ERROR_CHARS_MAX = 500  # of git's stderr in an error's text

_CONFIG = Path(__file__).with_name("gitconfig")
_OVERRIDES = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.sshCommand=false",
    "core.alternateRefsCommand=true",  # prints no refs, where a repository's own would run a command of its choice
    "core.quotePath=false",
    "credential.helper=",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "log.showSignature=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
)
_DIFFING = frozenset({"diff", "diff-files", "diff-index", "diff-tree", "format-patch", "log", "show", "whatchanged"})


class GitError(Exception):
    """Git ended with a code the caller did not expect; `code` is that code, `stderr` the end of what it said."""

    def __init__(self, args: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"git {args[0] if args else ''} ended with {code}: {stderr or 'no message'}")
        self.code = code
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class GitOutput:
    """What git printed: `stdout` as it came, `code` its exit code."""

    stdout: bytes
    stderr: str
    code: int

    @property
    def text(self) -> str:
        """stdout as UTF-8; bytes that are none become the replacement character."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def line(self) -> str:
        """stdout without the line end: for commands that answer with one line."""
        return self.text.rstrip("\n")

    def parts(self) -> list[str]:
        """The NUL-separated fields of a command run with -z, as the file system's names (surrogates if not UTF-8)."""
        return [os.fsdecode(part) for part in self.stdout.split(b"\0") if part]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The whole environment git runs in: no setting, credential or location of the caller's gets through."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(_CONFIG),
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "false",
        **(extra or {}),
    }


def git(
    args: Sequence[str],
    cwd: str | Path,
    *,
    config: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    codes: Sequence[int] = (0,),
    timeout_s: float = GIT_TIMEOUT_S,
) -> GitOutput:
    """Run one git command in `cwd`. `config` adds `name=value` settings, `env` variables such as GIT_INDEX_FILE.

    Raises GitError when the exit code is none of `codes` (127 when there is no git), TimeoutError after `timeout_s`.
    """
    settings = [part for setting in (*_OVERRIDES, *config) for part in ("-c", setting)]
    command = ["git", "--no-pager", *settings, *_hardened(args)]
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment(env), input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"git {args[0] if args else ''} took more than {timeout_s:g} s in {cwd}") from error
    except FileNotFoundError as error:
        missing = "git is not installed" if Path(cwd).is_dir() else f"there is no folder {cwd}"
        raise GitError(args, 127, missing) from error
    stderr = done.stderr.decode("utf-8", "replace").strip()[-ERROR_CHARS_MAX:]
    if done.returncode not in codes:
        raise GitError(args, done.returncode, stderr)
    return GitOutput(done.stdout, stderr, done.returncode)


def _hardened(args: Sequence[str]) -> list[str]:
    """Commands that show differences would run a repository's diff drivers; only options, no setting, forbid that."""
    if args and args[0] in _DIFFING:
        return [args[0], "--no-ext-diff", "--no-textconv", *args[1:]]
    return list(args)
