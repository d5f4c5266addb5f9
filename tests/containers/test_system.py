"""The whole system under docker compose: the README's calls, killed containers, scaling."""

import os
import random
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local.logins import table
from tests.containers.engine import (
    CHECKOUT,
    STOPPED_WITHIN_S,
    Compose,
    docker,
    inspect,
    kill_9,
)
from tests.deploy.stacks import STACK
from tests.servers import eventually

pytestmark = pytest.mark.containers

#: Maximum time to recover; a restarted RabbitMQ takes longest.
WITHIN_S = 120
#: Leadline's own containers, each of a kind that holds no data.
OURS = ("create-user", "bitrix-handler", "reply-handler", "connector", "worker", "relay")
FUNCTIONS = STACK.functions
SERVERS = ("postgres", "redis", "rabbitmq")


def readme_calls() -> str:
    """The commands of the README's section "Try it"."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Try it\n")[2].partition("\n## ")[0]
    return "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))


def user(compose: Compose, user_id: int) -> dict[str, Any]:
    answer = requests.get(f"{compose.edge}/users/{user_id}", timeout=60)
    answer.raise_for_status()
    return dict(answer.json())


def lead(compose: Compose, user_id: int) -> dict[str, Any]:
    leads = requests.get(f"{compose.portal}/_emulator/leads", timeout=60).json()
    (found,) = (found for found in leads if found["ORIGIN_ID"] == str(user_id))
    return dict(found)


def is_synced(compose: Compose, user_id: int) -> bool:
    return bool(user(compose, user_id)["sync"]["status"] == "synced")


def create(compose: Compose) -> requests.Response:
    body = {"full_name": "Ann", "phone": "+77001112233"}
    return requests.post(f"{compose.edge}/users", json=body, timeout=60)


def is_well(compose: Compose) -> bool:
    return requests.get(f"{compose.edge}/healthz", timeout=60).ok


def create_with_retries(compose: Compose) -> int:
    """Create a user, retrying after 5xx answers; returns its id."""
    answers: list[requests.Response] = []

    def try_once() -> bool:
        answers.append(create(compose))
        return answers[-1].status_code == 201

    eventually(try_once, WITHIN_S, "a user is accepted")
    return int(answers[-1].json()["id"])


def test_the_readmes_calls_end_with_a_lead(compose: Compose) -> None:
    calls = readme_calls().replace("http://127.0.0.1:3000", compose.edge)
    calls = calls.replace("http://127.0.0.1:3024", compose.portal)
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", calls],  # noqa: S607 - found on the PATH
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "201 Created" in result.stdout
    assert '"field":"phone"' in result.stdout
    eventually(lambda: is_synced(compose, 1), WITHIN_S, "the user is in Bitrix24")
    found = lead(compose, 1)
    assert found["NAME"] == "Иван Иванов"
    assert found["STATUS_ID"] == "IN_PROCESS"
    assert [phone["VALUE"] for phone in found["PHONE"]] == ["+77009998877"]


def test_only_loopback_is_published(compose: Compose) -> None:
    label = f"label=com.docker.compose.project={compose.project}"
    published = docker("ps", "--filter", label, "--format", "{{.Ports}}")
    hosts = set(re.findall(r"(\S+):\d+->", published))
    assert hosts == {"127.0.0.1"}


def test_the_brokers_page_is_served(compose: Compose) -> None:
    page = f"http://127.0.0.1:{compose.env['RABBITMQ_UI_PORT']}/"
    assert "RabbitMQ" in requests.get(page, timeout=60).text


@pytest.mark.parametrize("services", [OURS, SERVERS], ids=["ours", "a server"])
@pytest.mark.slow("a killed server starts again, and its clients find it")
def test_a_container_killed_at_random_recovers(compose: Compose, services: tuple[str, ...]) -> None:
    service = random.choice(services)  # noqa: S311 - the failure names it
    victim = compose.containers(service)[0]
    kill_9(victim, compose.images()["worker"])
    user_id = create_with_retries(compose)
    eventually(
        lambda: inspect(victim)["RestartCount"] >= 1 and inspect(victim)["State"]["Running"],
        WITHIN_S,
        f"{service} is restarted",
    )
    eventually(lambda: is_synced(compose, user_id), WITHIN_S, f"in sync after {service} was killed")
    assert lead(compose, user_id)["NAME"] == "Ann"
    eventually(lambda: is_well(compose), WITHIN_S, f"all is well after {service} was killed")


@pytest.mark.slow("starts containers")
def test_functions_and_workers_scale(compose: Compose) -> None:
    compose.up("--no-recreate", "--scale", "create-user=2", "--scale", "worker=4")
    assert len(compose.containers("worker")) == 4
    replicas = {
        network["IPAddress"]
        for container in compose.containers("create-user")
        for network in inspect(container)["NetworkSettings"]["Networks"].values()
    }
    assert len(replicas) == 2
    clients = "SELECT DISTINCT client_addr FROM pg_stat_activity WHERE client_addr IS NOT NULL"
    psql = ("exec", "-T", "postgres", "psql", "-U", "leadline", "-Atc", clients)

    def both_serve() -> bool:
        # Concurrent requests: the edge sends sequential ones over a single connection.
        with ThreadPoolExecutor(16) as callers:
            answers = list(callers.map(create, [compose] * 32))
        assert {answer.status_code for answer in answers} == {201}
        return replicas <= set(compose.run(*psql).split())

    eventually(both_serve, WITHIN_S, "both replicas have served")


@pytest.mark.slow("replaces every container one after the other")
def test_an_upgrade_refuses_no_request(
    compose: Compose, record_property: Callable[[str, object], None]
) -> None:
    took: list[float] = []
    ids: list[int] = []
    failures: list[str] = []
    is_over = threading.Event()

    def call(method: str, path: str, status: int, **body: str) -> Any:
        began = time.monotonic()
        answer = requests.request(method, compose.edge + path, json=body or None, timeout=60)
        took.append(time.monotonic() - began)
        if answer.status_code != status:
            failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def call_until_over() -> None:
        while not is_over.wait(0.05):
            try:
                user_id = call("POST", "/users", 201, full_name="Ann", phone="+77001112233")["id"]
                ids.append(user_id)
                call("PATCH", f"/users/{user_id}", 200, full_name="Ann Lee")
                call("POST", f"/users/{user_id}/move", 200, stage="IN_PROCESS")
                call("GET", f"/users/{user_id}", 200)
                call("GET", "/users?limit=1", 200)
            except (requests.RequestException, KeyError) as error:
                failures.append(repr(error))

    before = {*compose.containers("create-user"), *compose.containers("edge")}
    with ThreadPoolExecutor(2) as clients:
        running = [clients.submit(call_until_over) for _ in range(2)]
        try:
            changed = {"LEADLINE_LOG_LEVEL": "WARNING", "COMPOSE_PROJECT_NAME": compose.project}
            upgraded = subprocess.run(
                [CHECKOUT / "scripts/upgrade"],
                check=False,
                capture_output=True,
                text=True,
                timeout=WITHIN_S * 5,
                env={**os.environ, **compose.env, **changed},
            )
        finally:
            is_over.set()
        for future in running:
            future.result()
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    assert before.isdisjoint(compose.containers("create-user") + compose.containers("edge"))
    assert failures == []
    slowest_s, usual_s = max(took), statistics.median(took)
    what = "slowest request during an upgrade"
    record_property(what, f"{slowest_s:.1f} s (median {usual_s:.2f} s)")
    # Linux takes 3 s to find that a container is gone: no request waits for that. On a slow
    # machine, the starts of containers hold some for up to 2 s.
    assert slowest_s < 3
    eventually(lambda: is_synced(compose, ids[-1]), WITHIN_S, "the last user is in Bitrix24")
    leads = requests.get(f"{compose.portal}/_emulator/leads", timeout=60).json()
    origins = [found["ORIGIN_ID"] for found in leads]
    assert [origins.count(str(user_id)) for user_id in ids] == [1] * len(ids)


@pytest.mark.slow("stops and starts the whole system")
def test_a_dump_is_restored_and_no_lead_goes_to_another_user(
    compose: Compose, tmp_path: Path
) -> None:
    kept = create_with_retries(compose)
    dump = tmp_path / "leadline.dump"
    words = ("exec", "-T", "postgres", "pg_dump", "-U", "leadline", "-Fc", "leadline")
    dump.write_bytes(compose.run_binary(*words))
    lost = create_with_retries(compose)
    eventually(lambda: is_synced(compose, lost), WITHIN_S, "the user that will be lost has a lead")
    restored = subprocess.run(
        [CHECKOUT / "scripts/restore", dump],
        check=False,
        input="y\n",
        capture_output=True,
        text=True,
        timeout=WITHIN_S * 4,
        env={**os.environ, **compose.env, "COMPOSE_PROJECT_NAME": compose.project},
    )
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert requests.get(f"{compose.edge}/users/{lost}", timeout=60).status_code == 404
    new = create_with_retries(compose)
    assert new > lost
    eventually(
        lambda: is_synced(compose, kept) and is_synced(compose, new), WITHIN_S, "both are in sync"
    )
    assert lead(compose, new)["ID"] != lead(compose, lost)["ID"]


def test_a_container_holds_the_secrets_of_its_own_login(compose: Compose) -> None:
    for part in ("create-user", "get-user", "bitrix-handler", "connector", "worker", "edge"):
        login = table.by_name(table.PARTS[part])
        found = compose.run("exec", "-T", part, "ls", "/var/openfaas/secrets").split()
        expected = {login.secret(address) for address in login.url_secrets} | set(
            login.other_secrets
        )
        assert set(found) == expected, part


@pytest.mark.slow("stops the whole system")
def test_all_our_containers_stop_cleanly_and_down_removes_everything(compose: Compose) -> None:
    compose.run("stop", within_s=STOPPED_WITHIN_S)
    for service in (*FUNCTIONS, "connector", "worker", "relay", "bitrix24", "edge"):
        for container in compose.containers(service):
            assert inspect(container)["State"]["ExitCode"] == 0, service
    compose.run("down", "--volumes", within_s=STOPPED_WITHIN_S)
    assert compose.left_over() == []
