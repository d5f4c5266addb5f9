"""The laboratory's network: each disturbance has its effect, and everything is cleaned up."""

import socket
import subprocess

import pytest

from tests.clusters import network
from tests.system import CHECKOUT


@pytest.mark.slow("listens where nothing may arrive")
def test_each_disturbance_stops_only_the_intended_traffic() -> None:
    if obstacle := network.obstacle():
        pytest.skip(obstacle)
    before = _links()
    command = network.enclosing_command("tests.clusters.check_network")
    result = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=180, check=False
    )
    assert result.returncode == 0, result.stderr
    assert _links() == before


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex()]
