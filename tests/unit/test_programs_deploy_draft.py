"""deploy.draft: drafts that follow the repository's files, validate, and mark what is not known."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.services.tools.composing import dockerfile, kubernetes
from actors.services.tools.programs import deploy_draft
from protocol.tools import ToolResult
from tests.kit import repositories
from tests.kit.tool_inputs import file_text, given, result

SERVER = 'import uvicorn\n\n\n@app.get("/healthz")\ndef ok(): ...\n\n\nuvicorn.run(app, host="0.0.0.0", port=8123)\n'


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def draft(source: Path) -> ToolResult:
    prior = {"workspace.prepare": result(head="0123456789abcdef", primary_language="")}
    return deploy_draft.run(given("deploy.draft", prior, source=source))


def manifests(outcome: ToolResult) -> dict[str, Any]:
    documents = list(yaml.safe_load_all(file_text(outcome, deploy_draft.MANIFESTS)))
    return {document["kind"]: document for document in documents}


def container(outcome: ToolResult) -> dict[str, Any]:
    return manifests(outcome)["Deployment"]["spec"]["template"]["spec"]["containers"][0]


def rules(outcome: ToolResult) -> set[str]:
    return {found.rule for found in outcome.findings}


def test_a_python_package_with_a_script(tmp_path: Path) -> None:
    outcome = draft(repositories.python_passing(tmp_path / "parcels"))
    text = file_text(outcome, deploy_draft.DOCKERFILE)
    assert outcome.facts["valid"] is True
    assert outcome.facts["base_image"] == "python:3.14-slim-bookworm"
    assert text.endswith('USER 10001:10001\nCMD ["parcels"]\n')
    assert "RUN pip install --no-cache-dir -r requirements.txt\n" in text
    assert set(manifests(outcome)) == {"ServiceAccount", "Deployment"}
    assert container(outcome)["image"] == "parcels:0.1.0"
    assert "port" in rules(outcome)


def test_least_privilege_is_written_out(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"main.py": "print(1)\n"}))
    pod = manifests(outcome)["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container(outcome)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(outcome)["resources"]["limits"] == {"memory": "512Mi"}


def test_a_stated_port_and_health_path_bring_a_service_and_probes(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"main.py": SERVER, "requirements.txt": "uvicorn==0.30.0\n"}))
    assert outcome.facts["port"] == 8123
    assert set(manifests(outcome)) == {"ServiceAccount", "Deployment", "Service"}
    assert container(outcome)["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container(outcome)["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "\nEXPOSE 8123\nUSER 10001:10001\n" in file_text(outcome, deploy_draft.DOCKERFILE)
    assert "# Port 8123: main.py:8 [tools/t1@99]" in file_text(outcome, deploy_draft.MANIFESTS)


def test_a_port_without_a_health_path_is_probed_by_opening_it_and_never_restarts(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"main.py": "app.run(port=9000)\n"}))
    assert container(outcome)["readinessProbe"]["tcpSocket"] == {"port": "http"}
    assert "livenessProbe" not in container(outcome)


@pytest.mark.parametrize(
    "code",
    [
        "psycopg.connect(port=5432)\n",  # a client's port is not one to publish
        "app.run(port=PORT)\n",
        "app.run(port=99999)\n",
        "app.run(port=True)\n",
        "def (\n",
    ],
)
def test_what_is_no_port_of_its_own_is_none(tmp_path: Path, code: str) -> None:
    assert draft(write(tmp_path, {"main.py": code})).facts["port"] == 0


def test_ports_in_tests_and_examples_do_not_count(tmp_path: Path) -> None:
    files = {"main.py": "", "tests/test_a.py": "app.run(port=1)\n", "examples/a.py": "app.run(port=2)\n"}
    assert draft(write(tmp_path, files)).facts["port"] == 0


def test_several_ports_are_a_todo(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"a.py": "app.run(port=8001)\n", "main.py": "app.run(port=8002)\n"}))
    assert outcome.facts["port"] == 8001
    (todo,) = [found.message for found in outcome.findings if found.rule == "port"]
    assert "8001 in a.py:1, 8002 in main.py:1" in todo


@pytest.mark.parametrize(
    ("requires", "image", "todo"),
    [
        (">=3.11,<3.13", "python:3.12-slim-bookworm", False),
        (">=3.11.4", "python:3.14-slim-bookworm", False),
        ("==3.10.*", "python:3.10-slim-bookworm", False),
        ("<3", "python:3.14-slim-bookworm", True),
        ("three", "python:3.14-slim-bookworm", True),
        ("", "python:3.14-slim-bookworm", True),
    ],
)
def test_the_base_image_follows_requires_python(tmp_path: Path, requires: str, image: str, todo: bool) -> None:
    project = f'[project]\nname = "x"\nversion = "1"\nrequires-python = "{requires}"\n'
    outcome = draft(write(tmp_path, {"pyproject.toml": project}))
    assert outcome.facts["base_image"] == image
    assert ("python-version" in rules(outcome)) == todo


def test_a_lock_with_hashes_is_installed_with_them_and_wins(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[project]\nname = "x"\nversion = "1"\n',
        "requirements.lock": "a==1 --hash=sha256:00\n",
        "requirements.txt": "a\n",
    }
    text = file_text(draft(write(tmp_path, files)), deploy_draft.DOCKERFILE)
    assert "COPY requirements.lock ./\nRUN pip install --no-cache-dir --require-hashes -r requirements.lock\n" in text
    assert "RUN pip install --no-cache-dir --no-deps .\n" in text


def test_requirements_that_refer_to_other_files_get_the_whole_context_first(tmp_path: Path) -> None:
    files = {"main.py": "", "requirements.txt": "-r base.txt\n", "base.txt": "a==1\n"}
    text = file_text(draft(write(tmp_path, files)), deploy_draft.DOCKERFILE)
    assert text.count("COPY . .") == 1
    assert text.index("COPY . .") < text.index("-r requirements.txt")


def test_setup_cfg_poetry_and_dunder_main_are_read(tmp_path: Path) -> None:
    setup = "[metadata]\nname = old\nversion = 2\n[options]\npython_requires = <3.12\n"
    setup += "[options.entry_points]\nconsole_scripts =\n    old = old:main\n"
    first = draft(write(tmp_path / "a", {"setup.cfg": setup}))
    assert (first.facts["base_image"], container(first)["image"]) == ("python:3.11-slim-bookworm", "old:2")
    assert 'CMD ["old"]' in file_text(first, deploy_draft.DOCKERFILE)
    poetry = '[tool.poetry]\nname = "my-app"\nversion = "3"\n[tool.poetry.dependencies]\npython = "^3.10"\n'
    second = draft(write(tmp_path / "b", {"pyproject.toml": poetry, "my_app/__main__.py": ""}))
    assert second.facts["base_image"] == "python:3.14-slim-bookworm"
    assert 'CMD ["python", "-m", "my_app"]' in file_text(second, deploy_draft.DOCKERFILE)


def test_a_procfile_names_the_command_unless_it_needs_a_shell(tmp_path: Path) -> None:
    plain = draft(write(tmp_path / "a", {"main.py": "", "Procfile": "web: gunicorn app:app\n"}))
    assert 'CMD ["gunicorn", "app:app"]' in file_text(plain, deploy_draft.DOCKERFILE)
    shell = draft(write(tmp_path / "b", {"main.py": "", "Procfile": "web: run --port $PORT\n"}))
    assert 'CMD ["python", "main.py"]' in file_text(shell, deploy_draft.DOCKERFILE)


def test_a_library_gets_a_marked_todo_for_its_command(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"pyproject.toml": '[project]\nname = "lib"\nversion = "1"\n'}))
    assert "start-command" in rules(outcome)
    assert "# TODO(start-command): " in file_text(outcome, deploy_draft.DOCKERFILE)
    assert "# TODO(start-command): " in file_text(outcome, deploy_draft.MANIFESTS)
    assert outcome.facts["valid"] is True


def test_a_computed_version_is_a_todo_and_the_commit_becomes_the_tag(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"pyproject.toml": '[project]\nname = "a"\ndynamic = ["version"]\n'}))
    assert "version" in rules(outcome)
    assert container(outcome)["image"] == "a:0123456789ab"


def test_javascript_without_a_command(tmp_path: Path) -> None:
    outcome = draft(repositories.javascript(tmp_path / "slugs"))
    assert outcome.facts["ecosystem"] == "node"
    assert outcome.facts["valid"] is True
    assert "start-command" in rules(outcome)


def test_javascript_with_engines_lock_build_and_start(tmp_path: Path) -> None:
    package = (
        '{"name": "@acme/Shop_Front", "version": "4.5.6+x", "engines": {"node": ">=18 <23"},'
        ' "dependencies": {"a": "1"}, "scripts": {"start": "node dist/server.js --quiet", "build": "tsc"}}'
    )
    server = 'app.get("/health", ok);\napp.listen(process.env.PORT || 3000);\n'
    outcome = draft(write(tmp_path, {"package.json": package, "package-lock.json": "{}", "src/server.ts": server}))
    text = file_text(outcome, deploy_draft.DOCKERFILE)
    assert outcome.facts["base_image"] == "node:22-bookworm-slim"
    assert "COPY package.json package-lock.json ./\nRUN npm ci\nCOPY . .\nRUN npm run build\nRUN npm prune" in text
    assert 'CMD ["node", "dist/server.js", "--quiet"]' in text
    assert (outcome.facts["port"], container(outcome)["image"]) == (3000, "shop-front:4.5.6-x")
    assert outcome.facts["valid"] is True


@pytest.mark.parametrize(
    ("engines", "major", "todo"),
    [
        ("^20.1.0", 20, False),
        ("20.x", 20, False),
        ("18 || 20", 20, False),
        ("<24", 22, False),
        (">22", 24, False),
        ("<=22", 22, False),
        ("*", 24, False),
        ("16", 24, True),
        ("lts/iron", 24, True),
    ],
)
def test_the_node_version_follows_engines(tmp_path: Path, engines: str, major: int, todo: bool) -> None:
    package = f'{{"name": "a", "engines": {{"node": "{engines}"}}}}'
    outcome = draft(write(tmp_path, {"package.json": package}))
    assert outcome.facts["base_image"] == f"node:{major}-bookworm-slim"
    assert ("node-version" in rules(outcome)) == todo


def test_web_pages_are_served_without_root(tmp_path: Path) -> None:
    outcome = draft(write(tmp_path, {"public/index.html": "<p>hi</p>"}))
    assert (outcome.facts["ecosystem"], outcome.facts["port"], outcome.facts["valid"]) == ("static", 8080, True)
    assert "COPY public /usr/share/nginx/html\nUSER 101:101\n" in file_text(outcome, deploy_draft.DOCKERFILE)


def test_names_with_line_breaks_cannot_add_instructions(tmp_path: Path) -> None:
    project = '[project]\nname = "a"\nversion = "1"\n[project.scripts]\n"b\\nRUN evil" = "x:y"\nc = "x:y"\n'
    folder = write(tmp_path, {"pyproject.toml": project, "d\nRUN evil.py": "app.run(port=7000)\n"})
    text = file_text(draft(folder), deploy_draft.DOCKERFILE)
    assert all("evil" not in rest for _, word, rest in dockerfile.instructions(text) if word == "RUN")
    assert [word for _, word, _ in dockerfile.instructions(text)].count("RUN") == 3


@pytest.mark.parametrize(
    "files", [{}, {"README.md": "# a\n"}, {"pyproject.toml": "[tool.ruff]\n"}, {"package.json": "["}]
)
def test_what_it_does_not_understand_does_not_apply(tmp_path: Path, files: dict[str, str]) -> None:
    outcome = draft(write(tmp_path, files))
    assert outcome.status == "not_applicable"
    assert outcome.files == ()


def test_without_a_checkout_it_could_not_run() -> None:
    assert deploy_draft.run(given("deploy.draft")).status == "could_not_run"


def test_manifests_that_do_not_validate_are_told() -> None:
    version = kubernetes.latest_version()
    made = kubernetes.manifests("a", "a:1", 1000, 80, "")
    assert kubernetes.problems(kubernetes.as_yaml(made, ()), version) == []
    made[1]["spec"]["replicas"] = "many"
    made[2]["spec"]["selector"] = {"app": "b"}
    found = kubernetes.problems(kubernetes.as_yaml(made, ()), version)
    assert any("spec.replicas" in problem for problem in found)
    assert "the Service selects no pod" in found
    assert kubernetes.problems("a: [", version)[0].startswith("not YAML")
    assert "no schema" in kubernetes.problems("apiVersion: v1\nkind: Pond\n", version)[0]
