"""What tools, language models and the memory are counted and timed by: none of them knows that it is measured.

Tools are labelled by the catalogue's names, providers by the names of our adapters, roles by the roles there are; a
name outside those is `unknown`. Models are none of the labels: anybody may name one.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from time import monotonic

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram

from actors.runtime.kind import EffectCall, Performer
from actors.services.router.provider import Completion, CompletionRequest, Provider, ProviderError
from eventstore.store import NewEvent
from protocol.memory import Recalled, Remembered
from protocol.message import tag_of
from protocol.tools import RecordReturn, ToolWork

UNKNOWN = "unknown"
PROVIDERS_MAX = 16  # Names of providers that become labels; there is one adapter a wire format and a few local servers.
# A program of ours runs for a tenth of a second, a model answers after some seconds, time-outs are minutes.
_SECONDS = (0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class ServiceMetrics:
    """The services' metrics on `registry`. `tools` and `roles` are the names of those there are."""

    def __init__(self, registry: CollectorRegistry, tools: Collection[str], roles: Collection[str] = ()) -> None:
        self._tools, self._roles = frozenset(tools), frozenset(roles)
        self._providers: set[str] = set()
        self._tool_runs = Counter(
            "troupe_tool_runs", "Runs of tools that ended, by what they came to.", ("tool", "role", "status"),
            registry=registry,
        )  # fmt: skip
        self._tool_seconds = Histogram(
            "troupe_tool_seconds", "One run of a tool.", ("tool",), registry=registry, buckets=_SECONDS
        )
        self._requests = Counter(
            "troupe_llm_requests", "Requests to language models, by their outcome.", ("provider", "role", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._request_seconds = Histogram(
            "troupe_llm_request_seconds", "One request to a language model, with its retries.", ("provider",),
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self._tokens = Counter(
            "troupe_llm_tokens", "Tokens the providers counted: `in` they read, `out` they wrote.",
            ("provider", "role", "direction"), registry=registry,
        )  # fmt: skip
        self._cost = Counter(
            "troupe_llm_cost_usd", "US dollars by list price, of the requests whose price is known.",
            ("provider", "role"), registry=registry,
        )  # fmt: skip
        self._unpriced = Counter(
            "troupe_llm_unpriced", "Completions whose price nobody knows.", ("provider", "role"), registry=registry
        )

    def metered_tools(self, performer: Performer) -> Performer:
        """The tools' performer, counted. A run that was killed with its process is counted by nobody."""

        async def perform(call: EffectCall, work: ToolWork) -> RecordReturn:
            started = monotonic()
            returned = await performer.perform(call, work)
            assert isinstance(returned, RecordReturn), "the tools' performer answers with a return"
            self._runs(work, returned).inc()
            self._tool_seconds.labels(self._tool(work.tool)).observe(monotonic() - started)
            return returned

        def give_up(call: EffectCall, work: ToolWork, error: str) -> RecordReturn:
            returned = performer.give_up(call, work, error)
            assert isinstance(returned, RecordReturn), "the tools' performer answers with a return"
            self._runs(work, returned).inc()
            return returned

        return replace(performer, perform=perform, give_up=give_up)

    def metered_provider(self, provider: Provider) -> Provider:
        """The provider, counted."""
        # There from the start: of a series that begins with its first dollar Prometheus sees no increase.
        for role in sorted(self._roles):
            self._cost.labels(self._provider(provider.name), role)
        return _MeteredProvider(provider, self)

    def answered(self, provider: str, role: str, completion: Completion, seconds: float) -> None:
        """A completion came back."""
        labels = self._provider(completion.provider or provider), self._role(role)
        self._requests.labels(*labels, "ok").inc()
        self._request_seconds.labels(labels[0]).observe(seconds)
        self._tokens.labels(*labels, "in").inc(max(0, completion.tokens_in))
        self._tokens.labels(*labels, "out").inc(max(0, completion.tokens_out))
        if completion.cost_usd is None:
            self._unpriced.labels(*labels).inc()
        else:
            self._cost.labels(*labels).inc(max(0.0, completion.cost_usd))

    def failed(self, provider: str, role: str, outcome: str, seconds: float) -> None:
        """No completion: `outcome` is the kind of the ProviderError."""
        label = self._provider(provider)
        self._requests.labels(label, self._role(role), outcome).inc()
        self._request_seconds.labels(label).observe(seconds)

    def _runs(self, work: ToolWork, returned: RecordReturn) -> Counter:
        return self._tool_runs.labels(self._tool(work.tool), self._role(work.role), returned.status)

    def _role(self, name: str) -> str:
        return name if name in self._roles else UNKNOWN

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
            self._metrics.failed(self.name, request.role, error.kind, monotonic() - started)
            raise
        self._metrics.answered(self.name, request.role, completion, monotonic() - started)
        return completion


class MemoryMetrics:
    """What the memory was asked and told, on `registry`: counted when it is committed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._queries = Counter(
            "troupe_memory_queries", "Recalls, by whether anything was remembered.", ("outcome",), registry=registry
        )
        self._found = Counter("troupe_memory_hits", "Memories that recalls returned.", registry=registry)
        self._remembered = Counter("troupe_memory_remembered", "Memories that were kept.", registry=registry)

    def committed(self, events: Sequence[NewEvent]) -> None:
        """These events of memories are in the log."""
        for event in events:
            if event.type == _REMEMBERED:
                self._remembered.inc()
            elif event.type == _RECALLED:
                hits = len(_returned(event.body).memories)
                self._queries.labels("hit" if hits else "miss").inc()
                self._found.inc(hits)


class _Returned(msgspec.Struct):
    """A Recalled of which nothing is decoded but how many there are: the texts are nobody's business here."""

    memories: tuple[msgspec.Raw, ...] = ()


_REMEMBERED, _RECALLED = tag_of(Remembered), tag_of(Recalled)
_returned = msgspec.json.Decoder(_Returned).decode
