"""`make run` with the user's own webhook: without a key nothing is written into that CRM."""

from collections.abc import Callable

import pytest

from tests.faults import system_logs
from tests.servers import eventually
from tests.system import System

#: Not the emulator's; nothing listens there.
WEBHOOK = "http://127.0.0.1:1/rest/1/s0mebodys-c0de/"
USER = {"full_name": "Иван Иванов", "phone": "+77001112233"}
SHOWN = "shown only once: "


@pytest.mark.slow("starts its own system")
def test_a_real_portal_turns_keys_on(new_system: Callable[..., System]) -> None:
    system = new_system(BITRIX_WEBHOOK_URL=WEBHOOK, WORKERS="1")
    system.start()
    assert system.request("POST", "/users", json=USER).status_code == 401
    assert system.request("GET", "/users").status_code == 401
    for name, url in system.run["functions"].items():
        if name != "openapi":  # the API's document is public
            assert system.http.post(url, json={}, timeout=60).status_code == 401, name

    file = system.state.root / "secrets" / "api-keys"
    assert file.stat().st_mode & 0o077 == 0
    (key_line,) = [line for line in system.output.read_text().splitlines() if SHOWN in line]
    key = key_line.partition(SHOWN)[2]
    assert len(key) >= 32
    assert key in file.read_text()
    headers = {"Authorization": f"Bearer {key}"}
    answer = system.request("POST", "/users", json=USER, headers=headers)
    assert answer.status_code == 201
    path = f"/users/{answer.json()['id']}"
    assert system.request("GET", path, headers=headers).json()["sync"]["status"] == "waiting"
    # Our own processes know their key.
    eventually(
        lambda: "event received" in system.log("bitrix-handler"), 120, "the connector is authorised"
    )
    eventually(lambda: _relay_status(system) == "ok", 120, "the relay ticks")
    assert "status 40" not in system.log("relay")
    assert not (found := system_logs.leaks(system, {key})), found

    assert system.stop() == 0
    system.start()
    assert system.output.read_text().count(SHOWN) == 1
    assert system.request("GET", path, headers=headers).status_code == 200


def _relay_status(system: System) -> str:
    _, health = system.health()
    return str(health["parts"]["relay"]["status"])
