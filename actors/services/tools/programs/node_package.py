"""A Node package as its package.json describes it, and what running its scripts offline needs."""

import re
import shutil
from pathlib import Path
from typing import Any, cast

import msgspec

from actors.services.tools.programs import checkout, suite

_MISSING = re.compile(
    r"Cannot find (?:module|package) '([^'./][^']*)'|sh: (?:(?:line )?\d+: )?([\w-]+): (?:command )?not found"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def read(root: Path) -> dict[str, Any]:
    """The package.json at `root`; empty where there is none that can be read."""
    try:
        return msgspec.json.decode(checkout.read_text(root, "package.json") or "{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def table(package: dict[str, Any], name: str) -> dict[str, Any]:
    """One of its tables ("scripts"); empty where it has none."""
    found = package.get(name)
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def make_ready(root: Path, repo: str) -> str:
    """Link the packages installed in `repo` into the copy at `root`; what is missing ("missing npm"), "" if nothing."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "missing npm"
    package = read(root)
    if table(package, "dependencies") or table(package, "devDependencies"):
        installed = Path(repo, "node_modules")
        if not (repo and installed.is_dir()):
            return "missing node_modules"
        if not (root / "node_modules").exists():
            (root / "node_modules").symlink_to(installed)
    return ""


def environment(scratch: Path) -> dict[str, str]:
    """What a script finds in its environment: no colours, no network, no cache but the run's own."""
    return {
        **suite.environment(scratch),
        "npm_config_update_notifier": "false",
        "npm_config_cache": str(scratch / "npm"),
        "npm_config_offline": "true",
        "NO_COLOR": "1",
        "FORCE_COLOR": "0",
    }


def missing(output: str) -> str:
    """The first module, package or command that the output calls missing; "" where it calls none so."""
    found = _MISSING.search(output)
    return (found[1] or found[2]) if found else ""


def without_escapes(output: str) -> str:
    """The output without the escapes that colour a terminal."""
    return _ESCAPES.sub("", output)
