"""dependencies.list: manifests and lock files of four ecosystems, and what of them is pinned."""

import json
from pathlib import Path

from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.program_runs import found, run, write


def listed(tmp_path: Path, files: dict[str, str | bytes]) -> ToolResult:
    return run("dependencies.list", write(tmp_path / "r", files), tmp_path)


def packages(result: ToolResult) -> set[tuple[str, str, str | None]]:
    return {(each["ecosystem"], each["name"], each["version"]) for each in result.data["packages"]}


def test_pins_of_a_python_project(tmp_path: Path) -> None:
    result = run("dependencies.list", repositories.python_passing(tmp_path / "r"), tmp_path)
    assert packages(result) == {
        ("PyPI", "requests", "2.32.3"),
        ("PyPI", "pyyaml", "6.0.2"),
        ("PyPI", "hatchling", None),
    }
    assert (result.facts["declared"], result.facts["pinned"], result.facts["unpinned"]) == (3, 2, 0)
    assert result.facts["ecosystems"] == "PyPI"


def test_requirement_lines(tmp_path: Path) -> None:
    text = (
        "# comment\nDjango==4.2.1 ; python_version > '3'\nFlask_Login[x]>=0.6 # why\n-r other.txt\n--index-url https://x\n"
        "six==1.16.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nnumpy==1.*\n"
        "git+https://user:pw@example.org/lib.git@main#egg=mylib\npkg @ https://example.org/pkg.whl\n./local\n-e .\n!!\n"
    )
    result = listed(tmp_path, {"requirements.txt": text})
    assert packages(result) == {
        ("PyPI", "django", "4.2.1"),
        ("PyPI", "flask-login", None),
        ("PyPI", "six", "1.16.0"),
        ("PyPI", "numpy", None),
        ("PyPI", "mylib", None),
        ("PyPI", "pkg", None),
    }
    assert [(each.line, each.severity) for each in found(result, "unpinned")] == [(3, "low"), (9, "low")]
    assert [(each.line, each.severity) for each in found(result, "url-dependency")] == [(10, "medium"), (11, "medium")]
    assert "user:pw" not in str(result)


def test_a_lock_file_pins_what_is_declared(tmp_path: Path) -> None:
    project = "[project]\ndependencies = ['httpx>=0.27', 'rich']\n"
    project += "[dependency-groups]\ndev = ['pytest', {include-group = 'x'}]\n"
    lock = (
        '[[package]]\nname = "httpx"\nversion = "0.27.2"\nsource = { registry = "https://registry.example/simple" }\n'
        '[[package]]\nname = "app"\nversion = "1.0"\nsource = { editable = "." }\n'
        '[[package]]\nname = "fork"\nversion = "2.0"\nsource = { git = "https://example.org/fork" }\n'
    )
    result = listed(tmp_path, {"pyproject.toml": project, "uv.lock": lock})
    assert packages(result) == {
        ("PyPI", "httpx", "0.27.2"),
        ("PyPI", "rich", None),
        ("PyPI", "pytest", None),
        ("PyPI", "fork", "2.0"),
    }
    assert (result.facts["declared"], result.facts["unpinned"]) == (3, 1)
    assert [each.message.split()[0] for each in found(result, "unpinned")] == ["rich"]
    assert [each.path for each in found(result, "url-dependency")] == ["uv.lock"]


def test_poetry_and_pipenv(tmp_path: Path) -> None:
    project = (
        '[tool.poetry.dependencies]\npython = "^3.11"\nrequests = "==2.0.0"\nlib = { git = "https://example.org/l" }\n'
        'near = { path = "../near" }\n[tool.poetry.group.dev.dependencies]\nblack = "*"\n'
    )
    pipfile = {"default": {"Flask": {"version": "==3.0.0"}}, "develop": {"mypy": {"version": "==1.0"}, "odd": 3}}
    result = listed(
        tmp_path,
        {
            "pyproject.toml": project,
            "poetry.lock": '[[package]]\nname = "urllib3"\nversion = "2.2.0"\n',
            "Pipfile.lock": json.dumps(pipfile),
        },
    )
    assert packages(result) == {
        ("PyPI", "requests", "2.0.0"),
        ("PyPI", "lib", None),
        ("PyPI", "black", None),
        ("PyPI", "urllib3", "2.2.0"),
        ("PyPI", "flask", "3.0.0"),
        ("PyPI", "mypy", "1.0"),
        ("PyPI", "odd", None),
    }


def test_node_projects(tmp_path: Path) -> None:
    manifest = {
        "dependencies": {"a": "^1.0.0", "b": "1.2.3", "c": "github:x/c", "d": "workspace:*", "e": "file:../e"},
        "devDependencies": {"f": "latest"},
    }
    lock = {
        "lockfileVersion": 3,
        "packages": {
            "": {"name": "app"},
            "node_modules/a": {"version": "1.4.0"},
            "node_modules/a/node_modules/@s/b": {"version": "9.0.0", "dev": True},
            "packages/own": {"version": "1.0.0"},
            "node_modules/own": {"link": True},
        },
    }
    result = listed(tmp_path, {"package.json": json.dumps(manifest), "package-lock.json": json.dumps(lock)})
    assert packages(result) == {
        ("npm", "a", "1.4.0"),
        ("npm", "@s/b", "9.0.0"),
        ("npm", "b", "1.2.3"),
        ("npm", "c", None),
        ("npm", "f", None),
    }
    assert (result.facts["declared"], result.facts["unpinned"]) == (4, 1)
    assert [each.message.split()[0] for each in found(result, "url-dependency")] == ["c"]


def test_old_lock_files_of_node(tmp_path: Path) -> None:
    npm = {"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}}}}
    yarn = (
        '# yarn lockfile v1\n\n"@s/c@^1.0.0", "@s/c@^1.1.0":\n  version "1.2.0"\n\nd@^3.0.0:\n  version "3.1.0"\n'
        '"e@npm:^1":\n  version: 1.5.0\n"own@workspace:.":\n  version: 0.0.0\n'
    )
    result = listed(tmp_path, {"npm-shrinkwrap.json": json.dumps(npm), "yarn.lock": yarn})
    assert packages(result) == {
        ("npm", "a", "1.0.0"),
        ("npm", "b", "2.0.0"),
        ("npm", "@s/c", "1.2.0"),
        ("npm", "d", "3.1.0"),
        ("npm", "e", "1.5.0"),
    }


def test_go_and_rust(tmp_path: Path) -> None:
    result = listed(
        tmp_path,
        {
            "go.mod": "module example.org/x\n\ngo 1.22\n\nrequire github.com/a/b v1.2.3\nrequire (\n"
            "\tgolang.org/x/net v0.20.0 // indirect\n)\nreplace github.com/a/b => ../b\n",
            "Cargo.toml": '[dependencies]\nserde = "1.0.0"\nexact = "=2.0.1"\nown = { path = "own" }\n'
            'g = { git = "https://example.org/g" }\n[dev-dependencies]\nt = "1"\n',
            "Cargo.lock": '[[package]]\nname = "serde"\nversion = "1.0.200"\nsource = "registry+https://x"\n'
            '[[package]]\nname = "app"\nversion = "0.1.0"\n',
        },
    )
    assert packages(result) == {
        ("Go", "github.com/a/b", "1.2.3"),
        ("Go", "golang.org/x/net", "0.20.0"),
        ("crates.io", "serde", "1.0.200"),
        ("crates.io", "exact", "2.0.1"),
        ("crates.io", "g", None),
        ("crates.io", "t", None),
    }
    assert result.facts["ecosystems"] == "Go, crates.io"


def test_malformed_manifests_are_findings(tmp_path: Path) -> None:
    result = listed(
        tmp_path,
        {
            "pyproject.toml": "[project\n",
            "package.json": "[1]",
            "uv.lock": b"\xff\xfe\x00",
            "Cargo.lock": "package = 3\n",
            "Pipfile.lock": '{"default": [1], "develop": null}',
            "requirements.txt": b"caf\xe9==1.0\nok==2.0\n",
        },
    )
    assert result.status == "ok"
    assert {each.path for each in found(result, "manifest-malformed")} == {"pyproject.toml", "package.json"}
    assert {each.path for each in found(result, "manifest-not-read")} == {"uv.lock"}
    assert packages(result) == {("PyPI", "ok", "2.0")}


def test_manifests_of_tests_and_vendored_code_are_not_the_projects(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "tests/fixtures/package.json": '{"dependencies": {"a": "1.0.0"}}',
        "node_modules/b/package.json": '{"dependencies": {"b": "1.0.0"}}',
    }
    assert listed(tmp_path, files).status == "not_applicable"


def test_more_packages_than_fit_are_counted(tmp_path: Path) -> None:
    text = "".join(f"package-{number}==1.0\n" for number in range(2_100))
    result = listed(tmp_path, {"requirements.txt": text})
    assert len(result.data["packages"]) == 2_000
    assert (result.facts["pinned"], result.facts["packages_omitted"]) == (2_100, 100)


def test_without_a_manifest_it_does_not_apply(tmp_path: Path) -> None:
    result = run("dependencies.list", repositories.empty_one_commit(tmp_path / "r"), tmp_path)
    assert result.status == "not_applicable"
