"""The state folder, what runs on it, and the ports. Looks only: nothing is made, locked or changed."""

import os
from pathlib import Path

from actors.cli.checks.finding import Finding, failed, ok, warning
from actors.cli.checks.machine import existing
from actors.cli.desk import company_pid
from actors.edge.monitoring.ports import PORT_PREFERRED
from actors.embedded import process
from actors.embedded.errors import EmbeddedError
from actors.embedded.folder import LAYOUT_VERSION, StateFolder
from actors.embedded.ports import LOOPBACK, free_port, is_free
from actors.embedded.records import read_records
from actors.keyrings import VARIABLE, MasterFiles
from eventstore.errors import BadMasterKey

_ELSEWHERE = "choose another state folder with TROUPE_STATE"


def state_folder(path: Path, uid: int) -> Finding:
    """Can the user `uid` run a company in `path`? And who does, if anybody."""
    check = "State folder"
    if not path.exists():
        above = existing(path)
        if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            return failed(check, f"{path} cannot be made in {above}", f"make {above} writable, or {_ELSEWHERE}")
        return ok(check, f"{path}, made at the first start")
    if not path.is_dir():
        return failed(check, f"{path} is not a folder", _ELSEWHERE)
    status = path.stat()
    if status.st_uid != uid:
        mend = f"run as the user with uid {status.st_uid}, or {_ELSEWHERE}"
        return failed(check, f"{path} belongs to uid {status.st_uid}", mend)
    trouble = _layout_trouble(path)
    if trouble:
        return failed(check, f"{path} {trouble}", _ELSEWHERE)
    mode = status.st_mode & 0o777
    if mode & 0o077:
        return warning(check, f"{path} has mode {mode:04o}: others can look in", f"chmod 700 {path} (a start does it)")
    pid = company_pid(StateFolder(path))
    return ok(check, str(path), f"a company runs here as process {pid}" if pid else "no company runs here")


def _layout_trouble(path: Path) -> str:
    try:
        layout = (path / "layout").read_text(errors="replace").strip()
    except FileNotFoundError:
        return "holds files of something else" if any(path.iterdir()) else ""
    except OSError as error:
        return f"cannot be read ({error})"
    return "" if layout == str(LAYOUT_VERSION) else f"has layout {layout!r}, this version uses {LAYOUT_VERSION}"


def servers(path: Path) -> Finding:
    """Which servers run on the folder, by their own records."""
    check = "Servers"
    try:
        records = read_records(StateFolder(path))
    except (EmbeddedError, OSError) as error:
        return failed(check, str(error), f"end the servers of {path} and remove its servers.json")
    running = [
        f"{name} on {LOOPBACK}:{record.port} (process {record.pid})"
        for name, record in sorted(records.items())
        if record.pid is not None and process.started_at(record.pid) == record.process_started
    ]
    return ok(check, "; ".join(running) or "none runs; a company starts its own")


def ports(metrics_port: int | None, company_runs: bool) -> Finding:
    """Can servers listen on loopback? And is the metrics port free, where nobody of ours has it already."""
    check = "Ports"
    try:
        free = free_port()
    except (EmbeddedError, OSError) as error:
        return failed(check, str(error), f"let programs listen on {LOOPBACK} (a firewall or sandbox forbids it)")
    found = f"{LOOPBACK}:{free} and others are free"
    wanted = PORT_PREFERRED if metrics_port is None else metrics_port
    if wanted == 0 or company_runs or is_free(wanted):
        return ok(check, found)
    if metrics_port is not None:
        mend = "end what listens there, or set TROUPE_METRICS_PORT to another port (0: any free one)"
        return failed(check, f"the metrics port {wanted} is taken", mend)
    return ok(check, found, f"{wanted} is taken: metrics are served on a free port, which `troupe dev` prints")


def master_key(files: MasterFiles) -> Finding:
    """Can the master key be read, and by nobody else? Which one the database wants is seen when a company starts."""
    check = "Master key"
    paths = files.paths()
    if not paths:
        return ok(check, f"{files.current}, made at the first start")
    try:
        ids = [key.id for key in files.load()]
    except BadMasterKey as error:
        mend = f"without it all sealed text is lost: restore the file from a copy, or correct {VARIABLE}"
        return failed(check, str(error), mend)
    if len(paths) > 1 and not files.named:
        return warning(check, f"{files.next} waits to replace {files.current}", "finish with `troupe subject rewrap`")
    found = ", ".join(f"{path} ({id_[:8]}…)" for path, id_ in zip(paths, ids, strict=True))
    open_ = [path for path in paths if path.stat().st_mode & 0o077]
    if open_:
        return warning(check, f"{found}: others can read {open_[0]}", f"chmod 600 {open_[0]}")
    return ok(check, found, "keep a copy of it, elsewhere than the backups of the database")
