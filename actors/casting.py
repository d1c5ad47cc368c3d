"""What the playbooks mean for the services, which know nothing of roles: scripts, offered tools, the plan."""

from collections.abc import Mapping
from typing import Any

from actors.roles.orchestrator.core import SELF
from actors.roles.playbook import Playbook, Step
from actors.services.router.effects import Role
from actors.services.router.offline import Script
from actors.services.router.provider import ToolDefinition
from actors.services.tools.catalogue import CATALOGUE, ToolSpec
from protocol.orchestrator import PlannedRole

Playbooks = Mapping[str, Playbook]


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
