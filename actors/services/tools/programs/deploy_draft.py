"""deploy.draft: a Dockerfile and Kubernetes manifests from what the repository's own files say, validated.

Python, Node and plain web pages are understood; anything else does not apply. What the files do not say is a
marked TODO in the draft and a finding. Nothing is built, started or deployed.
"""

from collections.abc import Sequence
from pathlib import Path

from actors.services.tools.composing import dockerfile, kubernetes
from actors.services.tools.composing.citing import Evidence, citation
from actors.services.tools.composing.container import Plan, Todo, label, static_site
from actors.services.tools.composing.container_node import node_plan
from actors.services.tools.composing.container_python import python_plan
from actors.services.tools.composing.listening import Listening, listening
from protocol.tools import Finding, ProducedFile, ToolInput, ToolResult

DOCKERFILE = "deploy/Dockerfile"
IGNORE_FILE = "deploy/Dockerfile.dockerignore"
MANIFESTS = "deploy/kubernetes.yaml"
HEAD_DIGITS = 12  # of a commit as an image tag

# What never belongs into an image: history, environments, caches and the usual names of files with secrets.
_IGNORED = (".git", ".venv", "venv", "node_modules", "**/__pycache__", ".env", ".env.*", "*.pem", "*.key")


def run(given: ToolInput) -> ToolResult:
    """The drafts, validated; a draft that does not validate is reported as a high finding, not hidden."""
    source = Path(given.source)
    if not given.source or not source.is_dir():
        return ToolResult("could_not_run", "there is no checkout to read; workspace.prepare has to come first")
    evidence = Evidence(given.prior)
    plan = _plan(source, evidence, given)
    if plan is None:
        return ToolResult(
            "not_applicable",
            "no Python or Node project and no index.html in the root; what would run is not known",
            facts={"ecosystem": "none"},
        )
    found = listening(source)
    port = plan.port or found.port
    todos = (*plan.todos, *_todos(source, plan, found, port))
    version = plan.version or evidence.word("workspace.prepare", "head")[:HEAD_DIGITS] or "unreleased"
    health = found.health_paths[0].value if found.health_paths else ""
    documents = kubernetes.manifests(label(plan.name), _image(plan.name, version), plan.user_id, port, health)
    docker_text = _dockerfile_text(given, plan, found, todos)
    yaml_text = kubernetes.as_yaml(documents, _yaml_comments(given, plan, found, todos))
    return _result(given, source, plan, docker_text, yaml_text, documents, port, todos)


def _plan(source: Path, evidence: Evidence, given: ToolInput) -> Plan | None:
    name = Path(given.repo).name or "app"
    planners = [python_plan, node_plan]
    # A repository can be both; what most of its files are written in goes first.
    if evidence.word("workspace.prepare", "primary_language").lower() in ("javascript", "typescript"):
        planners.reverse()
    for planner in (*planners, static_site):
        plan = planner(source, name)
        if plan is not None:
            return plan
    return None


def _todos(source: Path, plan: Plan, found: Listening, port: int | None) -> list[Todo]:
    todos = [Todo("image-registry", "put your registry before the image name in deploy/kubernetes.yaml")]
    if (source / "Dockerfile").is_file():
        todos.append(
            Todo("existing-dockerfile", "the repository has a Dockerfile of its own; compare before replacing it")
        )
    todos.append(Todo("resources", "requests and limits are starting values, not measured; set them from a load test"))
    if port is None:
        todos.append(
            Todo(
                "port",
                "no file states a port, so there is no Service; a program that ends by itself wants a Job instead",
            )
        )
        return todos
    if not plan.port and len({stated.value for stated in found.ports}) > 1:
        places = ", ".join(f"{stated.value} in {stated.place}" for stated in found.ports[:5])
        todos.append(Todo("port", f"several ports are stated ({places}); check that {port} is the one"))
    if found.health_paths:
        todos.append(Todo("probes", f"check that the health path of {found.health_paths[0].place} is served on {port}"))
    elif not plan.port:
        todos.append(Todo("probes", "no health path was found; readiness only opens the port"))
    return todos


def _image(name: str, version: str) -> str:
    tag = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in version).strip(".-")
    return f"{label(name)}:{tag or 'unreleased'}"


def _dockerfile_text(given: ToolInput, plan: Plan, found: Listening, todos: Sequence[Todo]) -> str:
    body = plan.dockerfile
    if not plan.port and found.port is not None:
        body = body.replace("\nUSER ", f"\nEXPOSE {found.port}\nUSER ")
    here = [f"# {todo.line}\n" for todo in todos if todo.rule not in ("image-registry", "resources", "probes")]
    header = [f"# {line}\n" for line in _origin(given, plan, found)]
    build = f"# Build from the root of the repository: docker build -f {DOCKERFILE} .\n"
    return "".join((*header, build, *here)) + body


def _yaml_comments(given: ToolInput, plan: Plan, found: Listening, todos: Sequence[Todo]) -> list[str]:
    here = [
        todo.line for todo in todos if todo.rule in ("image-registry", "resources", "probes", "port", "start-command")
    ]
    return [*_origin(given, plan, found), *here]


def _origin(given: ToolInput, plan: Plan, found: Listening) -> list[str]:
    """Where the draft's numbers come from, for the first lines of each file."""
    commit = Evidence(given.prior).cited("workspace.prepare", "head")
    lines = [
        f"Drafted by deploy.draft {citation(given.call)} at commit {commit}; nothing was built or deployed.",
        f"From: {', '.join(plan.sources) or 'the files of the root'} {citation(given.call)}",
    ]
    if not plan.port and found.ports:
        lines.append(f"Port {found.ports[0].value}: {found.ports[0].place} {citation(given.call)}")
    # A path may hold line breaks; a comment must not end early.
    return [" ".join(line.split()) for line in lines]


def _result(
    given: ToolInput,
    source: Path,
    plan: Plan,
    docker_text: str,
    yaml_text: str,
    documents: Sequence[kubernetes.Manifest],
    port: int | None,
    todos: Sequence[Todo],
) -> ToolResult:
    version = kubernetes.latest_version()
    wrong = [(MANIFESTS, problem) for problem in kubernetes.problems(yaml_text, version)]
    wrong += [
        (DOCKERFILE, problem) for problem in dockerfile.problems(docker_text, lambda path: (source / path).exists())
    ]
    findings = [Finding("high", "invalid-draft", problem, path) for path, problem in wrong]
    findings += [Finding("info", todo.rule, todo.text) for todo in todos]
    kinds = ", ".join(str(document["kind"]) for document in documents)
    outcome = "valid" if not wrong else f"NOT valid ({len(wrong)} problems)"
    return ToolResult(
        "ok",
        f"{plan.ecosystem}: Dockerfile on {plan.base_image} and {kinds}; {outcome} for Kubernetes {version}; "
        f"{len(todos)} TODOs for a person",
        facts={
            "ecosystem": plan.ecosystem,
            "base_image": plan.base_image,
            "manifests": len(documents),
            "valid": not wrong,
            "kubernetes_version": version,
            "port": port or 0,
            "todos": len(todos),
        },
        findings=tuple(findings),
        files=(
            ProducedFile(DOCKERFILE, "text/x-dockerfile", docker_text.encode()),
            ProducedFile(IGNORE_FILE, "text/plain", ("\n".join(_IGNORED) + "\n").encode()),
            ProducedFile(MANIFESTS, "application/yaml", yaml_text.encode()),
        ),
        data={"kinds": [document["kind"] for document in documents], "sources": list(plan.sources)},
    )
