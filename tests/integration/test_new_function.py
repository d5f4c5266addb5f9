"""A function that `faas-cli new` created in functions/ joins the local run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

from local.runner import system
from local.runner.choices import Choices
from local.runner.state import State
from tests.servers import eventually

CHECKOUT = Path(__file__).parents[2]
#: Addresses where nothing listens; a new function needs no server.
GIVEN = {
    "DATABASE_URL": "postgresql://leadline:p4ssw0rd@127.0.0.1:1/leadline",
    "AMQP_URL": "amqp://leadline:p4ssw0rd@127.0.0.1:1/",
    "REDIS_URL": "redis://:p4ssw0rd@127.0.0.1:1/0",
    "BITRIX_WEBHOOK_URL": "http://127.0.0.1:1/rest/1/s0mebodys-c0de/",
    "LEADLINE_FREE_PORTS": "1",
}


@pytest.mark.parametrize("name", ["greeting", "second-greeting"])
def test_a_function_from_the_template_is_served_without_further_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(CHECKOUT / "template/leadline/function", tmp_path / "functions" / name)
    monkeypatch.setattr(system, "CHECKOUT", tmp_path)
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    state = State(tmp_path / ".local")
    state.create()
    planned = system.plan(state, Choices.read(GIVEN))
    assert planned.functions.keys() == {name}
    (program,) = (program for program in planned.programs if program.name == name)
    assert not any("URL" in variable for variable in program.env), "the function has no login"

    url = planned.functions[name]
    process = subprocess.Popen(
        program.command,
        cwd=tmp_path,
        env={**os.environ, **planned.environment(), **program.env, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: _is_up(url), 60, "the function is served")
        assert requests.post(url, json={}, timeout=60).json() == {"message": "It works."}
    finally:
        process.terminate()
        output = process.communicate(timeout=60)[0]
    assert f'"service":"{name}"' in output


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/_/ready", timeout=60).ok
    except requests.ConnectionError:
        return False
