"""A person is forgotten: nothing that stored what was said about them can be read again, and nobody else's is lost.

The story runs through the command line, with a kill in the middle; then every place is searched for the words.
"""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import nats
from nats.js.errors import NotFoundError

from actors.embedded.folder import StateFolder
from actors.embedded.servers import find_servers
from actors.runtime.nats_bus import STREAM
from protocol.personal import ERASED, SEALED_PREFIX
from tests.kit.command_line import Troupe

PERSON, OTHER = "p-anna", "p-ben"
SECRET, KEPT = "anna.secretive@example.org", "ben.kept@example.org"
REMEMBERED = "annas-remembered-words"
TITLE = "look after the guests"
WORDS = (SECRET, REMEMBERED)


def _submit(troupe: Troupe, task: str, person: str, contact: str) -> None:
    done = troupe.run("task", "submit", TITLE, "--id", task, "--person", person, "--contact", contact)
    assert done.returncode == 0, done.stderr


def _finished(troupe: Troupe, task: str) -> dict[str, Any]:
    """The task once it is concluded."""
    for _ in range(240):
        detail = troupe.answer("task", "show", task)
        if detail["task"]["status"] in ("completed", "failed"):
            return detail
    raise AssertionError(f"{task} has not finished")


def test_a_forgotten_person_is_nowhere_to_be_read(troupe: Troupe) -> None:
    with troupe.started("dev") as company:
        company.wait_for("Ready")
        memory = {
            "type": "memory.remember.v1", "subject": TITLE, "role": "architect", "task": "t0", "text": REMEMBERED,
            "person": PERSON,
        }  # fmt: skip
        assert troupe.answer("pub", "troupe.cmd.default.memory.main", json.dumps(memory))["outcome"] == "accepted"
        _submit(troupe, "t1", PERSON, SECRET)
        company.kill()
    with troupe.started("dev") as company:
        company.wait_for("Ready")
        _submit(troupe, "t1", PERSON, SECRET)  # The same again: silent.
        _submit(troupe, "t2", OTHER, KEPT)
        detail = _finished(troupe, "t1")
        assert detail["task"]["contact"] == SECRET
        assert SECRET in troupe.run("task", "show", "t1").stdout
        sealed = troupe.answer("task", "show", "t1", "--sealed")["task"]["contact"]
        assert sealed.startswith(SEALED_PREFIX)
        _check_the_models_words_are_sealed(troupe, readable=True)
        assert not [word for word in WORDS if word in _database(troupe)], "the words never reached the database"

        assert troupe.run("subject", "forget", "--person", PERSON).returncode == 2, "it asks"
        done = troupe.answer("subject", "forget", "--person", PERSON, "--yes")
        assert done["position"] > 0
        assert done["purged"]
        assert not [word for word in (*WORDS, KEPT) if word in _stream(troupe)]
        assert not [path for word in WORDS for path in _files_with(troupe, word)], "nor on any server's disk"

        shown = troupe.answer("task", "show", "t1")["task"]
        assert (shown["person"], shown["contact"]) == (PERSON, ERASED)
        assert troupe.answer("task", "show", "t2")["task"]["contact"] == KEPT
        again = troupe.answer("subject", "forget", "--person", PERSON, "--yes")
        assert (again["position"], again["forgotten_at"]) == (0, done["forgotten_at"])
        _submit(troupe, "t1", PERSON, SECRET)  # Still the same task, whatever it is sealed under.
        assert troupe.answer("task", "show", "t1")["task"]["contact"] == ERASED
        _check_the_models_words_are_sealed(troupe, readable=False)
        company.process.terminate()
        assert company.finish()[0] == 130

    replayed = troupe.run("replay").stdout
    assert not [word for word in WORDS if word in replayed]
    assert ERASED in replayed
    assert KEPT in replayed
    said = [event for event in troupe.replay() if event["type"] == "subject.forgotten.v1"]
    assert [event["position"] for event in said] == [done["position"]]
    assert PERSON not in json.dumps(said)
    for path in sorted((troupe.state / "logs").glob("company.log*")):
        assert not [word for word in (*WORDS, KEPT) if word in path.read_text("utf-8")]
    keys = troupe.answer("subject", "list")
    assert [key["forgotten_at"] is not None for key in keys].count(True) == 1
    assert troupe.run("subject", "forget", "--person", "p-nobody", "--yes").returncode == 3


def _files_with(troupe: Troupe, word: str) -> list[Path]:
    """The files of the whole state folder, those of the servers included, that hold the word."""
    files = [path for path in troupe.state.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 100
    return [path for path in files if word.encode() in path.read_bytes()]


def _check_the_models_words_are_sealed(troupe: Troupe, readable: bool) -> None:
    """The architect was told what is remembered of the person, so its report is about them as well."""
    report = troupe.run("artifact", "get", "t1", "architect/report.md").stdout
    assert report.startswith("#") if readable else report.strip() == ERASED
    briefed = [e for e in troupe.replay("--task", "t1") if e["type"] == "role.briefed.v1" and e["kind"] == "architect"]
    assert [event["body"]["memories"] for event in briefed] == [[REMEMBERED if readable else ERASED]]
    tester = troupe.run("artifact", "get", "t1", "tester/report.md").stdout
    assert tester.startswith("#"), "who was told nothing of them is not concerned"


def _database(troupe: Troupe) -> str:
    """Every row of every table, as text, bytes as they are."""
    return asyncio.run(_every_row(StateFolder(troupe.state)))


async def _every_row(folder: StateFolder) -> str:
    servers = await find_servers(folder, want=("postgres",))
    assert servers is not None
    connection = await asyncpg.connect(servers.postgres_dsn)
    try:
        tables = await connection.fetch("select schemaname, tablename from pg_tables where schemaname like 'troupe%'")
        assert len(tables) > 10
        texts: list[str] = []
        for schema, table in tables:
            for row in await connection.fetch(f'select * from "{schema}"."{table}"'):
                texts += [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in row.values()]
        return "\n".join(texts)
    finally:
        await connection.close()


def _stream(troupe: Troupe) -> str:
    """Every message COMMANDS still has."""
    return asyncio.run(_every_message(StateFolder(troupe.state)))


async def _every_message(folder: StateFolder) -> str:
    servers = await find_servers(folder, want=("nats",))
    assert servers is not None
    client = await nats.connect(servers.nats_url, token=servers.nats_token)
    try:
        stream = client.jetstream()
        state = (await stream.stream_info(STREAM)).state
        assert state.messages > 0
        found: list[bytes] = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            with suppress(NotFoundError):  # It may be purged while we look.
                found.append((await stream.get_msg(STREAM, sequence)).data or b"")
        return b"\n".join(found).decode("utf-8", "replace")
    finally:
        await client.close()


def test_the_master_key_is_changed_while_the_company_runs_and_is_missed_when_it_is_gone(
    troupe: Troupe, tmp_path: Path
) -> None:
    master = troupe.state / "secrets" / "master"
    with troupe.started("dev") as company:
        company.wait_for("Ready")
        _submit(troupe, "t1", PERSON, SECRET)
        before = master.read_bytes()
        assert troupe.answer("subject", "rewrap") == {"keys": 2}, "the person's, and the project's own"
        assert master.read_bytes() != before
        assert master.stat().st_mode & 0o777 == 0o600
        _submit(troupe, "t2", OTHER, KEPT)
        assert troupe.answer("task", "show", "t1")["task"]["contact"] == SECRET
        assert troupe.answer("task", "show", "t2")["task"]["contact"] == KEPT
        company.process.terminate()
        assert company.finish()[0] == 130
    checks = {check["check"]: check for check in troupe.answer("doctor")["checks"]}
    assert checks["Master key"]["status"] == "ok"
    kept = tmp_path / "kept"
    master.rename(kept)
    shown = troupe.run("task", "show", "t1", "--json")
    assert json.loads(shown.stdout)["task"]["contact"].startswith(SEALED_PREFIX)
    assert "TROUPE_MASTER_KEY" in shown.stderr
    refused = troupe.run("dev")
    assert refused.returncode == 4
    assert "without it all sealed text is lost" in refused.stderr
    master.write_bytes(before)
    assert "what is here is" in troupe.run("dev").stderr
    kept.rename(master)
    assert troupe.answer("task", "show", "t1")["task"]["contact"] == SECRET
    master.unlink()
    assert troupe.answer("subject", "abandon", "--yes") == {"forgotten": 2}
    assert troupe.answer("task", "show", "t1")["task"]["contact"] == ERASED
    with troupe.started("dev") as company:
        company.wait_for("Ready")
        _submit(troupe, "t3", PERSON, SECRET)
        assert troupe.answer("task", "show", "t3")["task"]["contact"] == SECRET
        company.process.terminate()
        assert company.finish()[0] == 130
