"""An auditor proves what a company did: with its log and anchors, and from a file without either."""

import json
import subprocess
from pathlib import Path

from tests.kit.command_line import ROOT, Troupe

REMEMBER = {"type": "memory.remember.v1", "subject": "audits", "role": "architect", "task": "t0", "text": "they happen"}


def test_what_a_company_did_is_anchored_when_it_stops_and_proved_from_a_file(troupe: Troupe, tmp_path: Path) -> None:
    with troupe.started("dev") as company:
        company.wait_for("Ready")
        assert troupe.answer("pub", "troupe.cmd.default.memory.main", json.dumps(REMEMBER))["outcome"] == "accepted"
        running = troupe.answer("audit", "certificate")["certificate"]
        assert (running["passed"], running["faults"]) == (True, []), "while the company runs"
        company.process.terminate()
        assert company.finish()[0] == 130
    verified = troupe.answer("audit", "verify")
    assert verified["last"] >= running["chain"]["last"] > 0
    assert (verified["anchors"], verified["anchored_to"]) == (1, verified["last"])

    certificate = troupe.answer("audit", "certificate", "--out", str(tmp_path / "certificate"))["certificate"]
    assert (certificate["passed"], certificate["chain"]["last"]) == (True, verified["last"]), certificate["faults"]
    assert (certificate["chain"]["anchors"], len(certificate["views"]) > 0) == (1, True)

    head = json.loads(troupe.run("audit", "sign").stdout)
    exported = troupe.answer("audit", "export", str(tmp_path / "log"), "--blobs")
    assert (exported["root"], exported["signed_to"]) == (head["root"], verified["last"])
    key = ("--key", head["key"])
    done = subprocess.run([ROOT / "bin/verify", "certificate", tmp_path / "certificate", *key], capture_output=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([ROOT / "bin/verify", tmp_path / "log", *key], capture_output=True, text=True)
    assert (done.returncode, head["root"] in done.stdout) == (0, True), done.stderr
    (tmp_path / "log").write_bytes((tmp_path / "log").read_bytes().replace(b"they happen", b"they happed"))
    done = subprocess.run([ROOT / "bin/verify", tmp_path / "log", *key], capture_output=True, text=True)
    assert (done.returncode, "the event is not what was committed" in done.stderr) == (5, True)

    other = Troupe(tmp_path / "other")
    try:
        assert other.run("audit", "import", str(tmp_path / "log")).returncode == 5
    finally:
        if (other.state / "servers.json").exists():
            other.stop_servers()
