"""`troupe audit certificate`: one signed report of the whole audit; or what such a one says, and whether it holds."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from actors.cli import output
from actors.cli.certifying import REMEDY_RESTORED, certify
from actors.cli.exits import Exit, Stop
from actors.cli.options import HERE, AsJson, Place
from actors.cli.running import execute
from actors.embedded.folder import StateFolder
from actors.host import Settings, reader
from actors.settings import host_errors
from actors.signing import signer_of
from eventstore.certificate import SignedCertificate
from eventstore.errors import BadCertificate, BadHead, BadInput
from eventstore.verifier import CERTIFICATE_BYTES_MAX, Unreadable, public_key, told_certificate

_POSTGRES_DATA = "data"


def certificate(
    *,
    out: Annotated[Path | None, Parameter(name="--out")] = None,
    key: str = "",
    check: Annotated[Path | None, Parameter(name="--check")] = None,
    restored_to: int = 0,
    as_json: AsJson = False,
    place: Place = HERE,
) -> int:
    """Audit the whole log and sign what came of it: chain, anchors, views, inbox, cursors and what is under way.

    Exit code 5 when anything is wrong; the report is written then too, and says so. `bin/verify certificate FILE`
    checks one without Troupe.

    Parameters
    ----------
    out
        A new file for the certificate (default: it is printed on stdout).
    key
        The file of the private key that signs (default: the company's). With --check: the public key that must have
        signed, in 64 hex digits or as a PEM file.
    check
        Make none; say whether the one in this file is what was signed, and whether the log here still has the root that
        it certifies.
    restored_to
        The log was restored from an archive, or took in history, up to this position: there is no inbox of it.
    """
    settings = place.settings()
    if check is not None:
        if out is not None or restored_to:
            raise Stop(Exit.USAGE, "--check makes no certificate: leave --out and --restored-to away")
        return _check(settings, check, key, as_json)
    if out is not None and out.exists():
        raise Stop(Exit.USAGE, f"{out} is there already: name another file")

    return _make(settings, out, key, restored_to, as_json)


def _make(settings: Settings, out: Path | None, key: str, restored_to: int, as_json: bool) -> int:
    async def work() -> int:
        async with reader(settings, views=False) as (log, _):
            try:
                signer = signer_of(StateFolder.open(settings.state).path, key or settings.signing_key)
                signed = await certify(settings, log, signer, restored_to)
            except (BadInput, BadHead) as error:
                raise Stop(Exit.USAGE, str(error)) from error
        if out is not None:
            try:
                with out.open("xb") as file:
                    file.write(signed.encoded() + b"\n")
            except FileExistsError as error:
                raise Stop(Exit.USAGE, f"{out} is there already: name another file") from error
        _tell(signed, out, as_json)
        return Exit.OK if signed.certificate.passed else Exit.DIVERGENCE

    return execute(work)


def _tell(signed: SignedCertificate, out: Path | None, as_json: bool) -> None:
    report = signed.certificate
    printed = as_json or out is None
    if printed:
        output.lines([signed.encoded()])
    say = output.note if printed else output.say
    for fault in report.faults:
        output.note(f"troupe: {fault.part}, position {fault.position}: {fault.what}")
    if any(fault.part == "beside" for fault in report.faults) and not report.beside.restored_to:
        output.note(REMEDY_RESTORED)
    chain = report.chain
    say(f"{'passed' if report.passed else 'FAILED'}: positions {chain.first} to {chain.last}, root {chain.root}")
    say(f"signed by {signed.key}" + (f" in {out}" if out is not None else ""))


def _check(settings: Settings, file: Path, key: str, as_json: bool) -> int:
    async def work() -> int:
        try:
            wanted = public_key(key) if key else ""
            with file.open("rb") as opened:
                content = opened.read(CERTIFICATE_BYTES_MAX)
        except (OSError, Unreadable) as error:
            raise Stop(Exit.USAGE, str(error)) from error
        try:
            signed = SignedCertificate.parse(content, wanted)
        except BadCertificate as error:
            raise Stop(Exit.DIVERGENCE, f"{file}: {error}") from error
        agrees = await _still_so(settings, signed)
        if as_json:
            output.data(
                {"file": str(file), "key": signed.key, "passed": signed.certificate.passed, "root_holds": agrees}
            )
        else:
            for line in told_certificate(msgspec.to_builtins(signed), key).splitlines():
                output.say(line)
            if agrees:
                output.say("the log here still has that root at that position")
        if agrees is False:
            chain = signed.certificate.chain
            output.note(
                f"troupe: position {chain.last}: the log here has another root than the certificate says: it was "
                "written anew since, or is another log"
            )
        return Exit.OK if signed.certificate.passed and agrees is not False else Exit.DIVERGENCE

    return execute(work)


async def _still_so(settings: Settings, signed: SignedCertificate) -> bool | None:
    """Whether the log at hand has the certified root where it was; None, and a word on stderr, without such a log."""
    report = signed.certificate
    if report.log != settings.schema:
        output.note(f"the certificate is of the log {report.log}, not {settings.schema}: no log was compared with it")
        return None
    with host_errors():
        there = bool(settings.postgres_url) or (StateFolder.open(settings.state).postgres / _POSTGRES_DATA).exists()
    if not there:
        output.note("there is no log here that it could be compared with")
        return None
    async with reader(settings, views=False) as (log, _):
        roots = await log.audit.roots_at([report.chain.last])
    return roots.get(report.chain.last, "") == report.chain.root
