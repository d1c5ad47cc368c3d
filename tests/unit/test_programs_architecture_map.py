"""architecture.map: modules, imports, cycles and the decision record, on real checkouts."""

import re
from pathlib import Path

from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.program_runs import commit, found, run, write
from tests.kit.tool_inputs import file_text, uncited

RECORD = "adr/0001-architecture-as-found.md"
_NODE = re.compile(r'^    (n\d+)\["([^"]*)"\]$')
_EDGE = re.compile(r"^    (n\d+) -->(?:\|\d+\|)? (n\d+)$")


def edges(result: ToolResult) -> set[tuple[str, str]]:
    """The diagram's edges by label; fails on a line that is neither node nor edge."""
    head, *lines = str(result.data["mermaid"]).splitlines()
    assert head == "flowchart LR"
    labels: dict[str, str] = {}
    drawn: set[tuple[str, str]] = set()
    for line in lines:
        node, edge = _NODE.match(line), _EDGE.match(line)
        assert node or edge, line
        if node:
            labels[node[1]] = node[2]
        elif edge:
            drawn.add((labels[edge[1]], labels[edge[2]]))
    return drawn


def test_a_package_in_a_source_folder_is_mapped(tmp_path: Path) -> None:
    result = run("architecture.map", repositories.python_passing(tmp_path / "r"), tmp_path)
    assert result.status == "ok"
    assert edges(result) == {
        ("parcels.cli", "parcels.quotes"),
        ("parcels.quotes", "parcels.money"),
        ("parcels.quotes", "parcels.rates"),
        ("parcels.rates", "parcels.money"),
    }
    assert result.facts["modules"] == 7
    assert result.facts["test_modules"] == 2
    assert result.facts["internal_imports"] == 7
    assert result.data["external"] == ["pytest"]
    assert {"name": "parcels", "kind": "console script"} in result.data["entry_points"]
    assert result.facts["cycles"] == 0


def test_the_record_cites_every_number(tmp_path: Path) -> None:
    result = run("architecture.map", repositories.python_passing(tmp_path / "r"), tmp_path)
    text = file_text(result, RECORD)
    assert "Status: Draft" in text
    assert "- Date: 2026-01-02" in text
    body = re.sub(r"```mermaid.*?```", "", text, flags=re.DOTALL)
    numbered = [line for line in uncited(body) if not line.startswith(("# 1. ", "- Date: "))]
    assert numbered == []


def test_the_same_checkout_gives_the_same_record(tmp_path: Path) -> None:
    repository = repositories.python_passing(tmp_path / "r")
    first, second = (run("architecture.map", repository, tmp_path / name) for name in ("a", "b"))
    assert first == second


def test_a_cycle_counts_only_when_modules_load_one_another(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {
            "p/__init__.py": "",
            "p/a.py": "from . import b\n",
            "p/b.py": "from p.c import x\n",
            "p/c.py": "import p.a\nx = 1\n",
            "p/d.py": "from p import e\n",
            "p/e.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p import d\n",
            "p/f.py": "def late():\n    from p.g import y\n    return y\n",
            "p/g.py": "from p.f import late\ny = late\n",
        },
    )
    result = run("architecture.map", root, tmp_path)
    assert result.data["cycles"] == [["p.a", "p.b", "p.c"]]
    (cycle,) = found(result, "import-cycle")
    assert (cycle.severity, cycle.path) == ("medium", "p/a.py")
    assert "p.a → p.b → p.c → p.a" in cycle.message
    assert ("p.e", "p.d") in edges(result)


def test_a_cycle_of_thousands_of_modules_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    count = 1_500
    files = {f"m{number}.py": f"import m{(number + 1) % count}\n" for number in range(count)}
    result = run("architecture.map", write(tmp_path / "r", files), tmp_path)
    assert len(result.data["cycles"][0]) == count


def test_imports_resolve_in_each_project_of_a_monorepo(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {
            "one/pyproject.toml": "[project]\nname='one'\n",
            "one/app/__init__.py": "",
            "one/app/main.py": "from app.util import x\nfrom shared import y\nimport requests\n",
            "one/app/util.py": "x = 1\n",
            "two/pyproject.toml": "[project]\nname='two'\n",
            "two/app/__init__.py": "",
            "two/app/main.py": "import app.util\n",
            "two/app/util.py": "",
            "two/src/shared/__init__.py": "y = 1\n",
            "scripts/go.py": "import helper\n",
            "scripts/helper.py": "",
            "scripts/requests.py": "",
        },
    )
    result = run("architecture.map", root, tmp_path)
    assert edges(result) == {
        ("one/app/main.py", "one/app/util.py"),
        ("two/app/main.py", "two/app/util.py"),
        ("one/app/main.py", "shared"),
        ("scripts.go", "scripts.helper"),
    }
    assert result.data["external"] == ["requests"]


def test_javascript_imports_are_scanned(tmp_path: Path) -> None:
    result = run("architecture.map", repositories.javascript(tmp_path / "r"), tmp_path)
    assert edges(result) == {("src/slug", "src/words")}
    assert result.facts["external_packages"] == 0
    assert result.facts["languages"] == "JavaScript"


def test_typescript_specifiers_and_comments(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {
            "src/a.ts": 'import { b } from "./b.js";\n// import x from "./c";\n/* require("./c") */\n'
            'import type { T } from "./types";\nconst d = await import("./d");\nimport "@scope/pkg/deep";\n'
            'const fs = require("fs");\nimport React from "react/jsx-runtime";\n',
            "src/b.ts": 'export * from "./a";\n',
            "src/c.ts": "",
            "src/d/index.tsx": "",
            "src/types.ts": "",
        },
    )
    result = run("architecture.map", root, tmp_path)
    assert {target for source, target in edges(result) if source == "src/a"} == {"src/b", "src/d/index", "src/types"}
    assert result.data["external"] == ["@scope/pkg", "react"]
    assert result.data["cycles"] == [["src/a", "src/b"]]


def test_names_cannot_break_the_diagram(tmp_path: Path) -> None:
    names = ('x"] --> n0; click n1 "<b>`', "%%{init: {}}%%", "````")
    files = {f"{name}.js": "" for name in names} | {"end.js": 'import "./graph";', "graph.js": ""}
    result = run("architecture.map", write(tmp_path / "r", files), tmp_path)
    assert edges(result) == {("end", "graph")}
    assert not {"`", "%", "<"} & set(str(result.data["mermaid"]).replace("-->", ""))


def test_many_modules_collapse_to_folders(tmp_path: Path) -> None:
    files = {f"p{folder}/m{number}.py": "import p0.m0\n" for folder in range(8) for number in range(6)}
    files |= {f"p{folder}/__init__.py": "" for folder in range(8)}
    result = run("architecture.map", write(tmp_path / "r", files), tmp_path)
    assert result.data["groups"] == [f"p{folder}" for folder in range(8)]
    assert ("p7", "p0") in edges(result)
    assert "-->|6|" in str(result.data["mermaid"])


def test_bad_files_are_facts_not_failures(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {
            "good.py": "import os\n",
            "broken.py": "def f(:\n    pass\n",
            "latin.py": "# caf\xe9\nimport good\n".encode("latin-1"),
            "bom.py": b"\xef\xbb\xbfimport good\n",
            "escape.py": 'x = "\\d"\nimport good\n',
            "deep.py": "x = " + "-" * 50_000 + "1\n",
            "huge.py": "x = 1\n" * 300_000,
            "tests/bad_input.py": "if\n",
            "binary.py": b"\0\0\0",
        },
    )
    (root / "link.py").symlink_to("/etc/passwd")
    (root / "loop").symlink_to(root)
    commit(root, "all")
    result = run("architecture.map", root, tmp_path)
    broken = {each.path: each.severity for each in found(result, "syntax-error")}
    assert broken == {"broken.py": "high", "deep.py": "high", "tests/bad_input.py": "low"}
    assert found(result, "syntax-error")[0].line == 1
    assert edges(result) == {("latin", "good"), ("bom", "good"), ("escape", "good")}


def test_other_languages_are_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"cmd/x/main.go": "package main\n\nfunc main() {\n}\n", "lib.rs": "fn f() {}\n"})
    result = run("architecture.map", root, tmp_path)
    assert result.data["languages"] == {"Go": {"files": 1, "lines": 4}, "Rust": {"files": 1, "lines": 1}}
    assert result.facts["modules"] == 0
    assert {"name": "cmd/x", "kind": "Go main package"} in result.data["entry_points"]
    assert "mermaid" not in file_text(result, RECORD)


def test_without_source_files_it_does_not_apply(tmp_path: Path) -> None:
    result = run("architecture.map", repositories.empty_one_commit(tmp_path / "r"), tmp_path)
    assert (result.status, result.summary) == ("not_applicable", "no source files in a known programming language")
