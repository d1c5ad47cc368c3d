"""Running one program on a repository, as the sandbox would, and building small repositories for it."""

import importlib
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from protocol.tools import Finding, ToolInput, ToolResult
from tests.kit.tool_inputs import given


def run(tool: str, source: Path, folder: Path, prior: Mapping[str, ToolResult] | None = None) -> ToolResult:
    """The result of `tool` on the checkout `source`, with scratch and workspace below `folder`; it survives JSON."""
    scratch, workspace = folder / f"scratch-{tool}", folder / "workspace"
    scratch.mkdir(parents=True, exist_ok=True)
    workspace.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module(f"actors.services.tools.programs.{tool.replace('.', '_')}")
    program: Callable[[ToolInput], ToolResult] = module.run
    asked = msgspec.structs.replace(given(tool, prior, source=source), scratch=str(scratch), workspace=str(workspace))
    result = program(asked)
    return msgspec.json.decode(msgspec.json.encode(result), type=ToolResult)


def found(result: ToolResult, rule: str) -> list[Finding]:
    """The result's findings of one rule."""
    return [each for each in result.findings if each.rule == rule]


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files (relative path → content) below `root`; a text that begins with #! is executable."""
    for name, content in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        if target.read_bytes().startswith(b"#!"):
            target.chmod(0o755)
    return root


def commit(root: Path, message: str, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Write files and commit everything in `root`, which becomes a repository if it is none yet."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / ".git").exists():
        git(root, "init", "--quiet", "--initial-branch", "main")
    write(root, files or {})
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--allow-empty", "--allow-empty-message", "--message", message)
    return root


def git(root: Path, *args: str) -> str:
    """What git prints, without the last line end; no settings but these are read."""
    settings = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Ada Tester",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada Tester",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
    done = subprocess.run(["git", *args], cwd=root, env=settings, check=True, capture_output=True)
    return done.stdout.decode("utf-8", "replace").rstrip("\n")
