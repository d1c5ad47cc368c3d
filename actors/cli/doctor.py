"""Is everything here that a company needs? Every question gets an answer, a failure also its mend. Changes nothing."""

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import anyio

from actors.cli import output
from actors.cli.checks import machine, programs, services, state
from actors.cli.checks.finding import Finding, failed
from actors.cli.desk import company_pid
from actors.cli.exits import Exit
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import StateFolder, default_path
from actors.host import Settings
from actors.keyrings import MasterFiles
from actors.services.router.select import Choice

CHECK_S_MAX = 60.0  # A sandbox's probe may take 20 s, and there are three.

Check = Callable[[], Awaitable[Finding | Sequence[Finding]]]


def doctor(*, as_json: AsJson = False, place: Place = HERE) -> int:
    """Check this machine, the state folder and the providers. Exit code 1 if something fails; warnings do not count."""
    settings = place.settings()

    async def work() -> int:
        found: list[Finding] = []
        async for finding in examine(checks(settings, os.environ)):
            found.append(finding)
            if not as_json:
                _tell(finding)
        count = {status: sum(finding.status == status for finding in found) for status in ("ok", "warning", "failed")}
        if as_json:
            output.data({"ok": not count["failed"], "checks": found})
        else:
            output.say()
            output.say(f"{count['ok']} ok, {count['warning']} warnings, {count['failed']} failed")
        return Exit.FAILURE if count["failed"] else Exit.OK

    return execute(work)


async def examine(asked: Sequence[tuple[str, Check]]) -> AsyncGenerator[Finding]:
    """Every check's findings, in order. One that breaks or hangs is a failed finding, and the others go on."""
    for name, check in asked:
        answer: Finding | Sequence[Finding]
        answer = failed(name, f"no answer within {CHECK_S_MAX:g} s", "try again; if it stays, report it")
        try:
            with anyio.move_on_after(CHECK_S_MAX):
                answer = await check()
        except Exception as error:  # noqa: BLE001 - a broken check is the doctor's failure and must not hide the others
            answer = failed(name, f"the check itself broke: {type(error).__name__}: {error}", "report it")
        for finding in [answer] if isinstance(answer, Finding) else answer:
            yield finding


def checks(settings: Settings, environment: Mapping[str, str]) -> list[tuple[str, Check]]:
    """What is asked, in the order of its importance."""

    async def python() -> Finding:
        return machine.python()

    async def system() -> Finding:
        return machine.system()

    async def user() -> Finding:
        return services.root(os.geteuid())

    async def encoding() -> Finding:
        return machine.encoding()

    async def clock() -> Finding:
        return machine.clock(time.time(), machine.newest_file())

    async def memory() -> Finding:
        return machine.memory(machine.memory_free())

    async def folder() -> list[Finding]:
        return folder_findings(settings, environment)

    async def keys() -> Finding:
        return services.keys(services.key_settings(), environment)

    async def provider() -> Finding:
        return await services.provider(Choice(settings.provider, settings.model, settings.provider_url), environment)

    async def outside() -> list[Finding]:
        return await services.outside_servers(settings)

    return [
        ("Python", python),
        ("System", system),
        ("User", user),
        ("Locale", encoding),
        ("Clock", clock),
        ("Memory", memory),
        ("State folder", folder),
        ("Server programs", programs.servers),
        ("Servers of others", outside),
        ("Git", programs.git),
        ("Node", programs.node),
        ("Sandbox", services.sandbox),
        ("Keys", keys),
        ("Provider", provider),
        ("Local models", services.local_models),
    ]


def folder_findings(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """The state folder, its disk, the servers on it, the ports, and the master key."""
    try:
        path = (settings.state or default_path(environment)).expanduser().absolute()
    except EmbeddedError as error:
        return [failed("State folder", str(error), "set TROUPE_STATE to a path")]
    found = [state.state_folder(path, os.geteuid()), machine.disk(path)]
    if found[0].status == "failed":
        return found
    ports = state.ports(settings.metrics_port, _company_runs(path))
    return [*found, state.servers(path), ports, state.master_key(MasterFiles(path, settings.master_key))]


def _company_runs(path: Path) -> bool:
    return company_pid(StateFolder(path)) is not None


def _tell(finding: Finding) -> None:
    mark = finding.status if finding.status != "failed" else "FAILED"
    output.say(f"{mark:<8} {finding.check:<18} {finding.found}")
    for detail in finding.details:
        output.say(f"{'':<8} {'':<18} {detail}")
    if finding.mend:
        output.say(f"{'':<8} {'':<18} → {finding.mend}")
