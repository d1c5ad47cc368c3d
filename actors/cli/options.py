"""The options every command shares, and the settings they make."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from actors.cli.exits import Exit, Stop
from actors.host import HostError, Settings


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Which company is meant."""

    state: Annotated[Path | None, Parameter(help="State folder (default: TROUPE_STATE, or the user's own).")] = None
    project: Annotated[str | None, Parameter(help="Project (default: TROUPE_PROJECT, or 'default').")] = None
    schema: Annotated[
        str | None, Parameter(help="The log: a fork's name (default: TROUPE_SCHEMA, or the company's own log).")
    ] = None

    def settings(self, model: "ModelChoice | None" = None, **overrides: Any) -> Settings:
        """The environment's settings with these options over them. Stop(USAGE) for a project that cannot be one."""
        overrides |= {} if model is None else model.chosen()
        if self.state is not None:
            overrides["state"] = self.state.absolute()
        if self.project is not None:
            overrides["project"] = self.project
        if self.schema is not None:
            overrides["schema"] = self.schema
        try:
            return Settings.from_environment(**overrides)
        except HostError as error:
            raise Stop(Exit.USAGE, error.message) from error


@Parameter(name="*")
@dataclass(frozen=True)
class ModelChoice:
    """Who thinks for the roles."""

    provider: Annotated[
        str | None, Parameter(help="offline, openai, anthropic or compatible (default: TROUPE_PROVIDER, or offline).")
    ] = None
    model: Annotated[str | None, Parameter(help="The provider's name of the model (default: TROUPE_MODEL).")] = None
    provider_url: Annotated[
        str | None, Parameter(help="Another server for the provider (default: TROUPE_PROVIDER_URL).")
    ] = None

    def chosen(self) -> dict[str, str]:
        """What was given, by the name of the setting."""
        given = {"provider": self.provider, "model": self.model, "provider_url": self.provider_url}
        return {name: value for name, value in given.items() if value is not None}


AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON on stdout.")]
HERE = Place()
THINKING = ModelChoice()
