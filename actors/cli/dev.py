"""The company in the foreground."""

from urllib.parse import urlsplit

import anyio

from actors.cli import output
from actors.cli.exits import Exit
from actors.cli.options import HERE, THINKING, ModelChoice, Place
from actors.cli.running import execute
from actors.host import Company, Settings, company

TOKEN_FILE = "nats-token"  # noqa: S105 - a file's name
PASSWORD_FILE = "postgres-password"  # noqa: S105


def dev(*, ephemeral: bool = False, place: Place = HERE, thinking: ModelChoice = THINKING) -> int:
    """Run the company until Ctrl-C: servers, actors, views. What already runs or is written is taken over.

    Parameters
    ----------
    ephemeral
        Keep everything in a temporary folder and remove it at the end.
    """
    settings = place.settings(thinking, ephemeral=ephemeral)
    return execute(lambda: in_foreground(settings))


async def in_foreground(settings: Settings) -> int:
    """Run that company until this is cancelled, and say where it can be reached."""
    async with company(settings) as running:
        for name, value in addresses(running):
            output.say(f"{name:<12} {value}")
        output.note("Ready. Ctrl-C drains, and stops what was started here.")
        await anyio.sleep_forever()
    return Exit.OK


def addresses(running: Company) -> list[tuple[str, str]]:
    """Everything one needs to reach the company. Secrets are not shown, but where they are."""
    secrets = running.folder.path / "secrets"
    token = f"token in {secrets / TOKEN_FILE}" if "nats" in running.settings.embedded else "from TROUPE_NATS_URL"
    password = "from TROUPE_POSTGRES_URL"  # noqa: S105 - where it is, not what it is
    if "postgres" in running.settings.embedded:
        password = f"password in {secrets / PASSWORD_FILE}"
    return [
        ("NATS", f"{without_secrets(running.nats_url)}  ({token}, {_origin(running, 'nats')})"),
        ("PostgreSQL", f"{without_secrets(running.postgres_dsn)}  ({password}, {_origin(running, 'postgres')})"),
        ("Commands", f"{running.settings.root}.cmd.{running.settings.project}.<kind>.<id>"),
        ("Metrics", running.metrics_url),
        ("State", str(running.folder.path)),
        ("Log", str(running.folder.company_log)),
        ("Sandbox", running.sandbox),
    ]


def without_secrets(url: str) -> str:
    """`url` without a password, and without a user name that stands alone, which is NATS' way to write a token."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.username}@{host}" if parts.username and parts.password is not None else host
    return url.replace(f"//{parts.netloc}", f"//{shown}", 1)


def _origin(running: Company, server: str) -> str:
    if server not in running.settings.embedded:
        return "not ours"
    return "started here" if server in running.started else "was running"
