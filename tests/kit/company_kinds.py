"""Every kind of actor that the company has, without any port: for tests of what they are, not of what they do."""

from functools import cache
from typing import Any

from actors import casting
from actors.roles.playbook import load_playbooks
from actors.runtime.kind import Kind
from actors.services.tools.catalogue import CATALOGUE


@cache
def company_kinds() -> dict[str, Kind[Any]]:
    """By name; roles with their own playbooks."""
    return casting.kinds(load_playbooks(tools=CATALOGUE.keys()))
