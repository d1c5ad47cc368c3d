"""A trace that begins at the command line: the company continues it, and its log lines say so."""

import json
import re

from tests.kit.command_line import Troupe

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SUBJECT = "troupe.cmd.default.memory.traced"
NONSENSE = '{"type":"memory.forget-everything.v9"}'


async def test_a_person_can_give_a_trace_or_begin_one(company: Troupe) -> None:
    begun = company.run("pub", SUBJECT, NONSENSE, "--traceparent", "new", "--json")
    assert json.loads(begun.stdout)["outcome"] == "refused", begun.stderr
    (trace,) = re.findall(r"trace ([0-9a-f]{32})", begun.stderr)
    given = company.run("pub", SUBJECT, NONSENSE, "--traceparent", GIVEN, "--json")
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736" in given.stderr
    lines = [json.loads(line) for line in (company.state / "logs" / "company.log").read_text().splitlines()]
    refused = [line["trace_id"] for line in lines if line["event"] == "commit.refused"]
    assert {trace, GIVEN.split("-")[1]} <= set(refused)
    assert all("trace_id" in line for line in lines)
