"""Makes certificates: every part of an audit is gone through, also after one has failed, and the report says what came.

Nothing of the log or its views is changed. A company may run meanwhile; what it appends after a part began is left out
of that part, so the parts may end at different positions, which the report names.
"""

import platform
from collections.abc import Sequence
from time import monotonic

from actors.cli.anchors import Compared, compare
from actors.cli.version import version
from actors.host import Settings
from actors.runtime.nats_bus import utc_now
from eventstore.audit import Audited
from eventstore.certificate import (
    DIFFERENCES_MAX,
    BesidePart,
    Certificate,
    ChainPart,
    Fault,
    SignedCertificate,
    ViewPart,
)
from eventstore.gaps import Examined
from eventstore.heads import Signer
from eventstore.postgres.store import PostgresStore
from eventstore.verifier import CERTIFICATE
from projections.errors import PoisonEvent, ProjectionError
from projections.queries import VIEWS
from projections.verify import Difference, verify_view
from projections.view import View

COVERS = (
    "the chain: every event is, byte for byte, what was committed, at its position; none is missing or added",
    "the streams: each has the versions 1, 2, 3, ... and no other; the blobs: each has the bytes its name says",
    "the anchors: no signed head on the bus contradicts the log, where the bus could be reached",
    "the views: each one that is listed has exactly the rows that folding its events again comes to",
    "the inbox: every command or effect outcome that led to events has its row, and every row has its events",
    "what is under way: the event that wanted each send, timer and effect is there; each cursor has its own witness",
)
LEAVES_OUT = (
    "a whole log that was written anew, chain included, if no anchor was kept where its owner could not change it",
    "rows of commands that led to nothing, and sends on their way: whether one was deleted shows nowhere else",
    "a cursor that was moved together with its witness, and what timers led to: a firing leaves no row",
    "what was never committed, and whether what was is true: what a model or a tool said is kept as it was said",
    "the code: that the same commands lead to the same events today is for `troupe fork --compare` to say",
)
REMEDY_RESTORED = "if the log was restored from an archive, say up to which position with --restored-to"


async def certify(
    settings: Settings, log: PostgresStore, signer: Signer, restored_to: int, views: Sequence[View] = VIEWS
) -> SignedCertificate:
    """The audit of a whole log, signed. BadInput for a `restored_to` that the log does not have; StoreUnavailable."""
    at, faults = utc_now(), list[Fault]()
    began = monotonic()
    examined = await log.gaps.find(restored_to)
    beside = _beside(examined, restored_to, began, faults)
    began = monotonic()
    audited = await log.audit.verify()
    anchors = await compare(settings, log, signer.key) if audited.broken is None else Compared()
    chain = _chain(audited, anchors, began, faults)
    seen = tuple([part for view in views if (part := await _view(log, view, faults)) is not None])
    order = {"chain": 0, "anchors": 1, "views": 2, "beside": 3}
    certificate = Certificate(
        format=CERTIFICATE,
        log=settings.schema,
        at=at.isoformat(),
        passed=not faults,
        faults=tuple(sorted(faults, key=lambda fault: order[fault.part])),
        chain=chain,
        views=seen,
        beside=beside,
        covers=COVERS,
        leaves_out=LEAVES_OUT,
        troupe=version(),
        python=platform.python_version(),
        migration=examined.migration,
    )
    return SignedCertificate.of(certificate, signer)


def _beside(examined: Examined, restored_to: int, began: float, faults: list[Fault]) -> BesidePart:
    if examined.gap is not None:
        faults.append(Fault("beside", examined.gap.position, examined.gap.what))
    return BesidePart(
        examined.last, examined.commands, examined.waiting, examined.partitions, restored_to, _since(began)
    )  # fmt: skip


def _chain(audited: Audited, anchors: Compared, began: float, faults: list[Fault]) -> ChainPart:
    if audited.broken is not None:
        faults.append(Fault("chain", audited.broken.position, audited.broken.what))
    if anchors.broken is not None:
        faults.append(Fault("anchors", anchors.broken.position, anchors.broken.what))
    s = audited.stretch
    return ChainPart(s.first, s.last, s.commits, s.root, anchors.count, anchors.last, _since(began))


async def _view(log: PostgresStore, view: View, faults: list[Fault]) -> ViewPart | None:
    """None for one that cannot be verified, which is a fault too: nobody then knows what it shows."""
    began = monotonic()
    try:
        verified = await verify_view(log, log.pool, view)
    except ProjectionError as error:
        position = error.position if isinstance(error, PoisonEvent) else 0
        faults.append(Fault("views", position, f"the view {view.name} could not be verified: {error}"))
        return None
    named = verified.differences[:DIFFERENCES_MAX]
    faults.extend(Fault("views", difference.position, _differs(difference)) for difference in named)
    unnamed = verified.differing - len(named)
    if unnamed:
        faults.append(Fault("views", 0, f"{unnamed} more rows of the view {view.name} differ"))
    return ViewPart(
        verified.view, verified.version, verified.position, verified.rows, verified.differing, _since(began)
    )  # fmt: skip


def _differs(difference: Difference) -> str:
    key = ", ".join(f"{name}={value}" for name, value in difference.key.items())
    where = f"the row of {difference.table} with {key} in the view {difference.view}"
    served, folded = difference.served, difference.folded
    if served is None:
        return f"{where} is missing"
    if folded is None:
        return f"{where} is one that no event made"
    columns = ", ".join(name for name in {**folded, **served} if folded.get(name) != served.get(name))
    return f"{where} is not what the log comes to, in {columns}"  # Not what is in them: a certificate goes elsewhere.


def _since(began: float) -> int:
    return round((monotonic() - began) * 1_000)
