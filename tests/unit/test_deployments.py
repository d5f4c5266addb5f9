"""Deployments and removals by faas-cli also hold in the next local run."""

from pathlib import Path

import pytest

from local.deployments import Deployments, Record
from local.runner.choices import Choices
from local.runner.processes.program import StartPhase
from local.runner.state import State
from local.runner.system import DEPLOYMENTS, plan


def test_a_removed_function_is_not_started_by_the_next_run(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.create()
    choices = Choices.read({"LEADLINE_FREE_PORTS": "1"})
    Deployments(state.folder(DEPLOYMENTS)).save(
        "get-user", Record(deployment=None, created_at="2026-01-31T12:00:00Z")
    )
    phases = {program.name: program.phase for program in plan(state, choices).programs}
    assert phases["get-user"] is StartPhase.REMOVED
    assert phases["list-users"] is StartPhase.FUNCTIONS


def test_a_function_sees_only_its_own_secrets_and_their_changes(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("mine", "other"):
        (secrets / name).write_text("old")
    deployments = Deployments(tmp_path)
    for names in (["other"], ["mine"]):
        spec = {"envVars": {"A": "1"}, "secrets": names}
        deployments.save("get-user", Record(spec, "2026-01-31T12:00:00Z"))
        env = deployments.prepare_environment("get-user", secrets)
    mounted = Path(env.pop("LEADLINE_SECRETS_DIR"))
    assert env == {"A": "1"}
    assert [path.name for path in mounted.iterdir()] == ["mine"]
    (secrets / "mine").unlink()
    (secrets / "mine").write_text("new")
    assert (mounted / "mine").read_text() == "new"


def test_a_function_that_was_never_deployed_gets_no_additional_settings(tmp_path: Path) -> None:
    deployments = Deployments(tmp_path)
    assert deployments.prepare_environment("get-user", tmp_path) == {}
    assert not deployments.is_removed("get-user")


def test_the_command_line_gets_the_field_map_and_the_receivers_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_MAPPING", "local/leadline.example.toml")
    monkeypatch.setenv("RESULT_ENDPOINTS_FILE", "/etc/result-endpoints")
    state = State(tmp_path)
    state.create()
    system = plan(state, Choices.read({"LEADLINE_FREE_PORTS": "1"}))
    connections = system.connections()
    assert Path(connections["LEADLINE_MAPPING"]).is_file()
    assert Path(connections["LEADLINE_MAPPING"]).is_absolute(), "it is used from any folder"
    assert connections["RESULT_ENDPOINTS_FILE"] == "/etc/result-endpoints"
