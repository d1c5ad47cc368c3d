"""Acceptance: the commands of the README, as a user runs them, on servers they start themselves."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.kit.command_line import Troupe

SESSION_TIMEOUT_S = 1_800.0  # The company outlives many commands.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A demo of this very repository runs these tests, and must not run demos."""
    if os.environ.get("TROUPE_DEMO"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="inside a demo"))


@pytest.fixture
def troupe(tmp_path: Path) -> Generator[Troupe]:
    """A state folder of the test's own, where nothing runs yet."""
    made = Troupe(tmp_path / "state")
    yield made
    if (made.state / "servers.json").exists():
        made.stop_servers()


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Generator[Troupe]:
    """A running company, shared by the tests that only use one: `troupe dev` in the background."""
    made = Troupe(tmp_path_factory.mktemp("company") / "state")
    with made.started("dev", timeout_s=SESSION_TIMEOUT_S) as running:
        running.wait_for("Ready")
        yield made
        running.process.terminate()
        assert running.finish()[0] == 130
