"""What the playbooks come to: the company's kinds of actors and, for the services, which know nothing of roles, the
scripts, the offered tools and the plan."""

from collections.abc import Mapping
from typing import Any

from actors.roles.effects import make_role
from actors.roles.orchestrator.core import SELF
from actors.roles.orchestrator.effects import make_orchestrator
from actors.roles.playbook import Playbook, Step
from actors.runtime.kind import Kind
from actors.services.memory import effects as memory
from actors.services.registry import effects as registry
from actors.services.router import effects as router
from actors.services.router.effects import Role
from actors.services.router.offline import Script
from actors.services.router.provider import ToolDefinition
from actors.services.task import effects as task
from actors.services.tools import effects as tools
from actors.services.tools.catalogue import CATALOGUE, ToolSpec
from protocol.orchestrator import PlannedRole

Playbooks = Mapping[str, Playbook]


def kinds(playbooks: Playbooks) -> dict[str, Kind[Any]]:
    """Every kind of actor of the company, by name."""
    every: list[Kind[Any]] = [
        task.KIND,
        router.KIND,
        memory.KIND,
        registry.KIND,
        tools.kind(CATALOGUE),
        make_orchestrator(playbooks[SELF], plan(playbooks)),
        *(make_role(book) for name, book in playbooks.items() if name != SELF),
    ]
    return {kind.name: kind for kind in every}


def plan(playbooks: Playbooks) -> tuple[PlannedRole, ...]:
    """Who waits for whom: every role but the orchestrator, which makes the plan."""
    return tuple(PlannedRole(name, tuple(book.needs)) for name, book in playbooks.items() if name != SELF)


def scripts(playbooks: Playbooks) -> dict[str, Script]:
    """What the offline provider follows."""
    return {
        name: Script(book.report_title, book.version, tuple((step.tool, step.args) for step in book.steps))
        for name, book in playbooks.items()
    }


def router_roles(playbooks: Playbooks) -> dict[str, Role]:
    """What a provider is told of each role: its instructions and the tools of its playbook."""
    return {
        name: Role(book.system, tuple(_definition(CATALOGUE[step.tool], step) for step in book.steps))
        for name, book in playbooks.items()
    }


def _definition(spec: ToolSpec, step: Step) -> ToolDefinition:
    """The tool with the arguments that are left to the model: what the playbook fixes is not offered."""
    schema: dict[str, Any] = dict(spec.parameters or {})
    if schema:
        properties: dict[str, Any] = schema.get("properties", {})
        schema["properties"] = {name: value for name, value in properties.items() if name not in step.args}
        schema["required"] = [name for name in schema.get("required", ()) if name not in step.args]
    return ToolDefinition(spec.name, spec.description, schema)
