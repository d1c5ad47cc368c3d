"""The tools the company owns: what each is for, what it needs to have run before, and what it may touch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Access = Literal["read", "write-scratch", "write-workspace", "run-foreign-code", "host"]
# read: sees the clone read-only, no network.        write-scratch: the same, plus its own scratch folder.
# write-workspace: may write the task's workspace.   run-foreign-code: runs the repository's own code; refuses without
# a real sandbox.
# host: runs inside the company's process with ports (projections, HTTP); never touches the repository's files.


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool. `needs` names tools whose results of the same task it is given (those that have run; it copes with
    absence)."""

    name: str
    description: str
    access: Access
    needs: tuple[str, ...] = ()
    timeout_s: float = 60.0
    parameters: Mapping[str, Any] | None = None  # JSON Schema of `args`; None: takes none.


CATALOGUE: dict[str, ToolSpec] = {
    spec.name: spec
    for spec in (
        ToolSpec(
            "workspace.prepare",
            "Clone the repository into the task's workspace and describe it.",
            "write-workspace",
            timeout_s=300,
        ),
        ToolSpec("architecture.map", "Map modules and imports from the syntax tree.", "read", ("workspace.prepare",)),
        ToolSpec(
            "lint.fix",
            "Apply safe lint fixes and formatting on a branch of the clone.",
            "write-workspace",
            ("workspace.prepare",),
        ),
        ToolSpec(
            "scripts.check",
            "Run the scripts by which a Node package checks itself (types, lint, format), or parse its files.",
            "run-foreign-code",
            ("workspace.prepare",),
            timeout_s=90,
        ),
        ToolSpec(
            "text.hygiene",
            "Look at every file for what is wrong in any language: conflict marks, broken data files, line ends.",
            "read",
            ("workspace.prepare",),
        ),
        ToolSpec(
            "change.review",
            "Review the last change and the developer's patch.",
            "read",
            ("workspace.prepare", "lint.fix"),
        ),
        ToolSpec(
            "tests.run", "Find the test suite and run it.", "run-foreign-code", ("workspace.prepare",), timeout_s=90
        ),
        ToolSpec("security.scan", "Scan the code statically for dangerous constructs.", "read", ("workspace.prepare",)),
        ToolSpec("secrets.scan", "Look for secrets in the files and the last commits.", "read", ("workspace.prepare",)),
        ToolSpec("dependencies.list", "List declared and pinned dependencies.", "read", ("workspace.prepare",)),
        ToolSpec(
            "advisories.lookup",
            "Ask an OSV service about the pinned dependencies.",
            "host",
            ("dependencies.list",),
            timeout_s=20,
        ),
        ToolSpec(
            "docs.check", "Check README, CHANGELOG, licence, docstrings and JSDoc.", "read", ("workspace.prepare",)
        ),
        ToolSpec(
            "changelog.draft", "Draft the next changelog section from the history.", "read", ("workspace.prepare",)
        ),
        ToolSpec(
            "release.note",
            "Draft the release note.",
            "read",
            ("workspace.prepare", "changelog.draft", "tests.run", "docs.check"),
        ),
        ToolSpec(
            "deck.compose",
            "Compose a Slidev deck about the release.",
            "read",
            ("workspace.prepare", "architecture.map", "tests.run", "security.scan", "changelog.draft"),
        ),
        ToolSpec(
            "deploy.draft",
            "Draft a Dockerfile and Kubernetes manifests and validate them.",
            "read",
            ("workspace.prepare", "dependencies.list"),
        ),
        ToolSpec("run.health", "Report this run's own health from the projections.", "host"),
        ToolSpec("status.report", "Report what each role delivered and what is open.", "read", ("*",)),
        ToolSpec(
            "verdict.decide",
            "Evaluate the playbook's release rules on the results.",
            "read",
            ("*",),
            parameters={"type": "object", "properties": {"rules": {"type": "array"}}, "required": ["rules"]},
        ),
    )
}
"""`needs=("*",)` means every result the task has so far."""
