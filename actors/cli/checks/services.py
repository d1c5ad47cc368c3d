"""What a company reaches beyond itself: sandboxes, language models, servers of others. Each is tried, not guessed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from actors.cli.checks.finding import Finding, failed, ok, warning
from actors.cli.client import Asker, Unreachable
from actors.host import Settings
from actors.services.router import offline
from actors.services.router.complaints import Endpoint
from actors.services.router.provider import ProviderError
from actors.services.router.select import BadChoice, Choice, open_provider
from actors.services.tools.sandbox import detect
from actors.services.tools.sandbox.base import Sandbox
from eventstore.postgres.store import PostgresStore
from eventstore.store import StoreError

Survey = Callable[[], Awaitable[list[tuple[Sandbox, str]]]]


async def sandbox(survey: Survey = detect.survey) -> Finding:
    """The sandbox in use, and for every kind whether it works here and why not."""
    tried = await survey()
    used = next((sandbox for sandbox, why_not in tried if not why_not), None)
    details: list[str] = []
    for each, why_not in tried:
        works = "in use" if each is used else "works"
        details.append(f"{each.kind}: {why_not or works} ({each.detail})")
    if used is None:
        mend = "install bubblewrap, or use a kernel with Landlock; until then no repository's own tests are run"
        return failed("Sandbox", "none works here", mend, *details)
    return ok("Sandbox", used.kind, *details)


def keys(settings: Mapping[str, str], environment: Mapping[str, str]) -> Finding:
    """Which keys are set (never what they are). `settings` is the variable of each provider that takes one."""
    found = [f"{name} {'is set' if environment.get(name, '').strip() else 'is not set'}" for name in settings.values()]
    return ok("Keys", "; ".join(found))


def key_settings() -> dict[str, str]:
    """The variable of each provider's key."""
    from actors.services.router import anthropic, compatible, openai  # They load an HTTP client: only when asked for.

    return {each.NAME: each.KEY_SETTING for each in (openai, anthropic, compatible)}


async def provider(choice: Choice, environment: Mapping[str, str]) -> Finding:
    """The provider the settings name: is its key accepted, is its model there?"""
    check = "Provider"
    if choice.provider == offline.NAME and not choice.model and not choice.url:
        return ok(check, "offline: deterministic, follows the playbooks, no reasoning")
    try:
        async with open_provider(choice, environment, {}) as opened:
            return ok(check, f"{opened.name} answers" + (f", model {choice.model}" if choice.model else ""))
    except BadChoice as error:
        return failed(check, str(error), "correct the setting it names")
    except ProviderError as error:
        return failed(check, error.message, "correct what it names, or unset TROUPE_PROVIDER to work offline")


async def local_models(servers: Sequence[tuple[str, str]] | None = None) -> Finding:
    """Model servers on this machine that speak OpenAI's format, at their usual addresses."""
    from actors.services.router import compatible
    from actors.services.router.http import open_session
    from actors.services.router.openai import ChatCompletions

    found: list[str] = []
    asked = compatible.LOCAL_SERVERS if servers is None else servers
    async with open_session() as session:
        for name, url in asked:
            # Without a key: whatever listens there must not get one.
            endpoint = Endpoint(compatible.NAME, url, compatible.KEY_SETTING)
            try:
                models = await ChatCompletions(session, endpoint).models()
            except ProviderError as error:
                if error.kind == "bad_key":
                    found.append(f"{name} at {url} (wants a key)")
                continue
            found.append(f"{name} at {url} ({len(models)} models)")
    if not found:
        return ok("Local models", f"none found at {', '.join(url for _, url in asked)}")
    return ok("Local models", "; ".join(found), "TROUPE_PROVIDER=compatible uses the first")


async def outside_servers(settings: Settings) -> list[Finding]:
    """The NATS and PostgreSQL of others that the settings name, if they do."""
    findings: list[Finding] = []
    if settings.nats_url:
        try:
            async with Asker.open(settings.nats_url):
                findings.append(ok("NATS", f"{_place(settings.nats_url)} answers"))
        except Unreachable as error:
            findings.append(failed("NATS", str(error), "start it, or correct TROUPE_NATS_URL"))
    if settings.postgres_url:
        try:
            async with PostgresStore.open(settings.postgres_url, settings.schema, prepare=False):
                findings.append(ok("PostgreSQL server", f"{_place(settings.postgres_url)} answers"))
        except StoreError as error:
            findings.append(failed("PostgreSQL server", str(error), "start it, or correct TROUPE_POSTGRES_URL"))
    return findings


def root(uid: int) -> Finding:
    """Whether the company would run as root."""
    if uid == 0:
        return warning("User", "root", "run as a plain user: what runs as root can do the most harm")
    return ok("User", f"uid {uid}")


def _place(url: str) -> str:
    """Where a URL leads, without whatever may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
