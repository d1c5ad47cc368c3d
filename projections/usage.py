"""Usage of language models: completions, tokens and cost by day, role, agent, provider and model.

A completion counts for the agent that has the role in its task. Days are UTC, of the time the events carry.
"""

from collections.abc import Iterator
from datetime import UTC

from eventstore.store import Recorded
from projections.statement import Statement
from protocol.message import Event
from protocol.retired import vocabulary_of
from protocol.role import RoleAssigned
from protocol.router import CompletionFailed, CompletionGiven

NAME = "usage"
VERSION = 1
SCHEMA = "usage_schema"
TYPES: tuple[type[Event], ...] = (RoleAssigned, CompletionGiven, CompletionFailed)
_VOCABULARY = vocabulary_of(TYPES)


def project(recorded: Recorded) -> Iterator[Statement]:
    """What one event adds. Events of types outside TYPES are of no interest here."""
    if recorded.type not in _VOCABULARY:
        return
    address = recorded.address
    match _VOCABULARY.decode(recorded.body, recorded.type):
        case RoleAssigned(agent=agent):
            yield Statement("usage_assigned", (address.project, address.name, address.kind, agent))
        case CompletionGiven() as given:
            counted = (given.tokens_in, given.tokens_out, int(given.priced), given.cost_micros if given.priced else 0)
            yield _completed(recorded, given.role, given.provider, given.model, 1, 0, *counted)
        case CompletionFailed(role=role):
            yield _completed(recorded, role, "", "", 0, 1, 0, 0, 0, 0)
        case _:
            return


def _completed(recorded: Recorded, role: str, *counted: str | int) -> Statement:
    """`counted`: provider, model, answered, failed, tokens in and out, priced, cost."""
    address, day = recorded.address, recorded.at.astimezone(UTC).date()
    return Statement("usage_completed", (address.project, address.name, role, day, *counted, recorded.position))
