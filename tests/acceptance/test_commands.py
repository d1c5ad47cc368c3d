"""The other commands: a hand-typed message starts a task, reads need no company, a folder has one company."""

import json
import os
from contextlib import ExitStack
from pathlib import Path

from actors.embedded.folder import StateFolder
from actors.embedded.servers import SERVERS, lost_servers
from protocol.role import ROLES
from tests.kit import repositories
from tests.kit.command_line import Troupe


def test_a_hand_typed_message_without_any_header_starts_a_task(company: Troupe) -> None:
    body = '{"type": "task.submit.v1", "title": "typed by hand"}'
    with company.started("replay", "--follow", "--task", "typed") as replay:
        assert company.run("pub", "--raw", "troupe.cmd.default.task.typed", body).returncode == 0
        first = json.loads(replay.wait_for("task.submitted.v1", "stdout"))
        last = json.loads(replay.wait_for("task.concluded.v1", "stdout"))
    assert first["body"]["title"] == "typed by hand"
    assert last["correlation"] == "typed"
    assert company.answer("task", "show", "typed")["task"]["status"] == "completed"


def test_pub_prints_the_reply(company: Troupe) -> None:
    subject = "troupe.cmd.default.task.published"
    accepted = company.answer("pub", subject, '{"type":"task.submit.v1","title":"one"}')
    assert (accepted["outcome"], accepted["events"]) == ("accepted", ["task/published@1"])
    again = company.answer("pub", subject, '{"type":"task.submit.v1","title":"one"}')
    assert again["outcome"] == "silent"
    refused = company.run("pub", subject, '{"type":"task.submit.v1","title":"two"}', "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["code"] == "exists"


def test_a_submitted_task_is_listed_and_shown(company: Troupe, tmp_path: Path) -> None:
    repo = repositories.empty_one_commit(tmp_path / "repo")
    done = company.run("task", "submit", "look at it", "--repo", str(repo), "--id", "mine")
    assert (done.returncode, done.stdout) == (0, "mine\n")
    assert company.run("task", "submit", "look at it", "--repo", str(repo), "--id", "mine").returncode == 0
    assert company.run("task", "submit", "another", "--id", "mine").returncode == 1
    shown = company.answer("task", "show", "mine")
    assert (shown["task"]["title"], shown["task"]["repo"]) == ("look at it", str(repo))
    assert "mine" in {each["task"] for each in company.answer("task", "list")}
    assert "look at it" in company.run("task", "show", "mine").stdout
    assert company.run("task", "show", "nobody").returncode == 3


def test_a_folder_has_one_company(company: Troupe) -> None:
    second = company.run("dev")
    assert second.returncode == 4
    assert second.stdout == ""
    assert (company.state / "company.lock").read_text().strip() in second.stderr


def test_dev_prints_every_address_and_no_secret(troupe: Troupe) -> None:
    with troupe.started("dev") as dev:
        dev.wait_for("Ready")
        dev.process.terminate()
        code, out, _ = dev.finish()
    assert code == 130
    addresses = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert addresses.keys() == {"NATS", "PostgreSQL", "Commands", "Metrics", "State", "Log", "Sandbox"}
    assert addresses["NATS"].startswith("nats://127.0.0.1:")
    assert addresses["PostgreSQL"].startswith("postgresql://")
    assert addresses["Metrics"].startswith("http://127.0.0.1:")
    assert addresses["State"] == str(troupe.state)
    for secret in (troupe.state / "secrets").iterdir():
        is_key = secret.name in ("master", "signing.pem")
        assert (str(secret) in out) is not is_key, "nobody connects with those"
        assert secret.read_text().strip() not in out


def test_an_ephemeral_company_leaves_nothing(troupe: Troupe) -> None:
    with troupe.started("dev", "--ephemeral") as dev:
        dev.wait_for("Ready")
        dev.process.terminate()
        code, out, _ = dev.finish()
    folder = next(line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("State"))
    assert code == 130
    assert not os.path.exists(folder)
    assert not troupe.state.exists()


def test_reads_work_without_a_company(troupe: Troupe, tmp_path: Path) -> None:
    assert troupe.answer("task", "list") == []
    assert troupe.answer("agent", "list") == []
    assert troupe.replay() == []
    repo = repositories.empty_one_commit(tmp_path / "repo")
    done = troupe.answer("demo", str(repo))
    assert [each["task"] for each in troupe.answer("task", "list")] == [done["task"]]
    agents = troupe.answer("agent", "list")
    assert {each["role"] for each in agents} == set(ROLES)
    assert {each["in_flight"] for each in agents} == {0}
    assert len(troupe.replay("--task", done["task"])) == done["events"]
    assert [each["position"] for each in troupe.replay("--from", "3", "--to", "5")] == [3, 4, 5]
    assert {each["kind"] for each in troupe.replay("--kind", "tools")} == {"tools"}


def test_readers_and_a_starting_company_do_not_stop_the_servers_under_each_other(
    troupe: Troupe, tmp_path: Path
) -> None:
    repo = repositories.empty_one_commit(tmp_path / "repo")
    with ExitStack() as stack:
        readers = [stack.enter_context(troupe.started("task", "list", "--json")) for _ in range(3)]
        demo = stack.enter_context(troupe.started("demo", str(repo), "--json"))
        ended = [command.finish() for command in (*readers, demo)]
    assert [code for code, _, _ in ended] == [0, 0, 0, 0], [said for _, _, said in ended]
    assert json.loads(ended[-1][1])["status"] == "completed"
    assert lost_servers(StateFolder.open(troupe.state)) == set(SERVERS), "the last one out stops the servers"
