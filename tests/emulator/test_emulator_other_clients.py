"""pybitrix24, bitrix24-rest, aiobitrix24 and b24jssdk work unmodified over https.

`scripts/bitrix24-clients` installs them once; without a package registry these tests are skipped.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.emulator_process import Emulator

_ROOT = Path(__file__).parents[2]
_INSTALLED = _ROOT / "build" / "bitrix24-clients"
_PROGRAMS = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def clients() -> None:
    try:
        subprocess.run(
            [_ROOT / "scripts" / "bitrix24-clients"], check=True, timeout=1200, capture_output=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the clients could not be installed: {error}")


def run(emulator_over_tls: tuple[Emulator, Path], *command: str, **settings: Any) -> Any:
    """The output of a client's program on a portal in its initial state with these settings."""
    emulator, cert = emulator_over_tls
    emulator.control("POST", "reset")
    emulator.set(**settings)
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(cert),
        "NODE_EXTRA_CA_CERTS": str(cert),
        "PYTHONPATH": str(_INSTALLED / "python"),
    }
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def python(name: str) -> list[str]:
    return [sys.executable, "-P", str(_PROGRAMS / name)]


@pytest.mark.usefixtures("clients")
def test_the_client_pybitrix24_works(emulator_over_tls: tuple[Emulator, Path]) -> None:
    host = emulator_over_tls[0].base.removeprefix("https://")
    results = run(emulator_over_tls, *python("with_pybitrix24.py"), host, "local-webhook-code")
    assert (results["added"], results["got"]["TITLE"]) == (1, "Lead & Co")
    assert results["got"]["PHONE"][0]["VALUE"] == "+7700"
    assert results["batch"]["one"] == results["got"]
    assert results["batch"]["all"] == [{"ID": "1"}]


@pytest.mark.usefixtures("clients")
def test_the_client_bitrix24_rest_works(emulator_over_tls: tuple[Emulator, Path]) -> None:
    """The client reads 60 leads: it asks for the second page by itself."""
    program = python("with_bitrix24_rest.py")
    # Without a limit, as this client does not keep to one.
    results = run(emulator_over_tls, *program, emulator_over_tls[0].webhook, rate_per_s=None)
    assert results["added"] == list(range(1, 61))
    assert results["contact"]["item"]["name"] == "A"
    assert [int(row["ID"]) for row in results["listed"]] == list(range(1, 61))
    assert "400" in results["refused"]


@pytest.mark.usefixtures("clients")
def test_the_client_aiobitrix24_works(emulator_over_tls: tuple[Emulator, Path]) -> None:
    results = run(emulator_over_tls, *python("with_aiobitrix24.py"), emulator_over_tls[0].webhook)
    assert (results["added"], results["title"]) == (1, "Lead & Co")
    assert results["batch"]["move"] is True
    assert emulator_over_tls[0].get(1)["STATUS_ID"] == "JUNK"


@pytest.mark.usefixtures("clients")
def test_the_client_b24jssdk_works(emulator_over_tls: tuple[Emulator, Path]) -> None:
    """The official JavaScript SDK."""
    program = str(_PROGRAMS / "with_b24jssdk.mjs")
    results = run(
        emulator_over_tls, "node", program, f"{_INSTALLED}/", emulator_over_tls[0].webhook
    )
    assert (results["added"], results["phone"]) == (1, "+7700")
    assert results["listed"] == {"items": [{"id": 1}]}
    assert results["titles"] == ["Lead & Co", "John"]
    assert "Element not found" in results["refused"]
