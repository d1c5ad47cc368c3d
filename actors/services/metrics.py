"""What tools and language models are counted and timed by, around their ports: neither knows that it is measured.

Tools are labelled by the catalogue's names, providers by the names of our adapters; a name outside those is `unknown`.
"""

from collections.abc import Collection
from dataclasses import replace
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Histogram

from actors.runtime.kind import EffectCall, Performer
from actors.services.router.provider import Completion, CompletionRequest, Provider, ProviderError
from protocol.tools import RecordReturn, ToolWork

UNKNOWN = "unknown"
PROVIDERS_MAX = 16  # Names of providers that become labels; there is one adapter a wire format and a few local servers.
_SECONDS = (0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class ServiceMetrics:
    """The services' metrics on `registry`. `tools` are the names of the tools there are."""

    def __init__(self, registry: CollectorRegistry, tools: Collection[str]) -> None:
        self._tools = frozenset(tools)
        self._providers: set[str] = set()
        self._tool_runs = Counter(
            "troupe_tool_runs", "Runs of tools that ended, by what they came to.", ("tool", "status"), registry=registry
        )
        self._tool_seconds = Histogram(
            "troupe_tool_seconds", "One run of a tool.", ("tool",), registry=registry, buckets=_SECONDS
        )
        self._requests = Counter(
            "troupe_llm_requests", "Requests to language models, by their outcome.", ("provider", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "troupe_llm_request_seconds", "One request to a language model, with its retries.", ("provider",),
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._tokens = Counter(
            "troupe_llm_tokens", "Tokens the providers counted: `in` they read, `out` they wrote.",
            ("provider", "direction"), registry=registry,
        )  # fmt: skip

        self._cost = Counter(
            "troupe_llm_cost_usd", "US dollars by list price, of the requests whose price is known.", ("provider",),
            registry=registry,
        )  # fmt: skip

    def metered_tools(self, performer: Performer) -> Performer:
        """The tools' performer, counted. A run that was killed with its process is counted by nobody."""

        async def perform(call: EffectCall, work: ToolWork) -> RecordReturn:
            started = monotonic()
            returned = await performer.perform(call, work)
            assert isinstance(returned, RecordReturn), "the tools' performer answers with a return"
            self._ran(work.tool, returned.status, monotonic() - started)
            return returned

        def give_up(call: EffectCall, work: ToolWork, error: str) -> RecordReturn:
            returned = performer.give_up(call, work, error)
            assert isinstance(returned, RecordReturn), "the tools' performer answers with a return"
            self._tool_runs.labels(self._tool(work.tool), returned.status).inc()
            return returned

        return replace(performer, perform=perform, give_up=give_up)

    def metered_provider(self, provider: Provider) -> Provider:
        """The provider, counted."""
        return _MeteredProvider(provider, self)

    def answered(self, provider: str, completion: Completion, seconds: float) -> None:
        """A completion came back."""
        label = self._provider(completion.provider or provider)
        self._requests.labels(label, "ok").inc()
        self._request_seconds.labels(label).observe(seconds)
        self._tokens.labels(label, "in").inc(max(0, completion.tokens_in))
        self._tokens.labels(label, "out").inc(max(0, completion.tokens_out))
        if completion.cost_usd is not None:
            self._cost.labels(label).inc(max(0.0, completion.cost_usd))

    def failed(self, provider: str, outcome: str, seconds: float) -> None:
        """No completion: `outcome` is the kind of the ProviderError."""
        label = self._provider(provider)
        self._requests.labels(label, outcome).inc()
        self._request_seconds.labels(label).observe(seconds)

    def _ran(self, tool: str, status: str, seconds: float) -> None:
        label = self._tool(tool)
        self._tool_runs.labels(label, status).inc()
        self._tool_seconds.labels(label).observe(seconds)

    def _tool(self, name: str) -> str:
        return name if name in self._tools else UNKNOWN

    def _provider(self, name: str) -> str:
        if name not in self._providers and len(self._providers) < PROVIDERS_MAX:
            self._providers.add(name)
        return name if name in self._providers else UNKNOWN


class _MeteredProvider:
    """A Provider around another."""

    def __init__(self, provider: Provider, metrics: ServiceMetrics) -> None:
        self._provider, self._metrics = provider, metrics

    @property
    def name(self) -> str:
        return self._provider.name

    async def complete(self, request: CompletionRequest) -> Completion:
        started = monotonic()
        try:
            completion = await self._provider.complete(request)
        except ProviderError as error:
            self._metrics.failed(self.name, error.kind, monotonic() - started)
            raise
        self._metrics.answered(self.name, completion, monotonic() - started)
        return completion
