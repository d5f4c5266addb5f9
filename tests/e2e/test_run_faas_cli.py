"""faas-cli against the local run: the OpenFaaS REST API of the edge, by HTTP."""

import datetime as dt
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from local.logins import table
from local.runner.system import function_folders
from tests.e2e.faas_cli import FaasCli
from tests.servers import eventually
from tests.system import CHECKOUT, System

PROBLEM = "application/problem+json"
#: Reads only, so that nothing is lost if a test is interrupted.
NAME = "list-users"


@pytest.fixture
def cli(system: System) -> FaasCli:
    return FaasCli.of(system)


@pytest.fixture
def restore_list_users(cli: FaasCli) -> Iterator[None]:
    """Deploy list-users again afterwards, for other tests."""
    yield
    assert cli.deploy(NAME).status_code == 202
    cli.await_ready(NAME)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/system/{path}") for path in ("functions", "secrets", "info", "namespaces")),
        *(("GET", f"/system/{path}") for path in ("logs?name=get-user", "function/get-user", "no")),
        *((method, "/system/functions") for method in ("POST", "PUT", "DELETE")),
        *((method, "/system/secrets") for method in ("POST", "PUT", "DELETE")),
        ("POST", "/system/scale-function/get-user"),
        ("GET", "/system/namespace/openfaas-fn"),
    ],
)
def test_without_the_password_nothing_is_shown_or_done(
    system: System, method: str, path: str
) -> None:
    password = (system.state.root / "passwords" / "gateway").read_text(encoding="ascii")
    for auth in (None, ("admin", "wrong"), ("admin", ""), ("root", password), ("", password)):
        answer = system.request(method, path, auth=auth)
        assert answer.status_code == 401, auth
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert answer.headers["Content-Type"] == PROBLEM
    for header in ("Basic", "Basic !", "Basic w6k=", "Bearer x", f"Basic {password}"):
        answer = system.request(method, path, headers={"Authorization": header})
        assert answer.status_code == 401, header


def test_list_and_describe_cover_every_function(system: System, cli: FaasCli) -> None:
    assert cli.names() == set(function_folders())
    before = cli.describe("get-user")["invocationCount"]
    assert cli.invoke("get-user", "?id=1") in {200, 404}
    after = cli.describe("get-user")
    assert after["invocationCount"] == before + 1
    assert (after["replicas"], after["availableReplicas"]) == (1, 1)
    assert dt.datetime.fromisoformat(after["createdAt"]) < dt.datetime.now(dt.UTC)
    assert after["usage"]["totalMemoryBytes"] > 1024 * 1024
    assert cli.ask("/system/function/nope?usage=1").status_code == 404
    assert system.request("GET", "/healthz").status_code == 200


def test_faas_cli_gets_the_version_and_the_namespaces(cli: FaasCli) -> None:
    info = cli.ask("/system/info").json()
    assert info["provider"]["orchestration"] == "supervisord"
    project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{info["version"]["release"]}"' in project
    assert cli.ask("/system/namespaces").json() == ["openfaas-fn"]
    assert cli.ask("/system/functions?namespace=openfaas-fn").status_code == 200
    assert cli.ask("/system/functions?namespace=other").status_code == 400
    assert cli.ask("/system/namespace/openfaas-fn").json()["name"] == "openfaas-fn"
    assert cli.ask("/system/namespace/other").status_code == 404
    # As `faas-cli namespace create other` sends it.
    created = cli.send("POST", "/system/namespace/", '{"name": "other"}')
    assert created.status_code == 501
    assert "openfaas-fn" in created.json()["detail"]


@pytest.mark.usefixtures("restore_list_users")
def test_a_deployed_function_has_its_environment_and_a_rotated_key_needs_no_restart(
    system: System, cli: FaasCli
) -> None:
    secrets = ("api-keys", "database-url-reader")
    annotations = {"topic": "a.topic"}
    answer = cli.deploy(NAME, env={"LEADLINE_AUTH": "on"}, secrets=secrets, annotations=annotations)
    assert answer.status_code == 202
    cli.await_ready(NAME)
    description = cli.describe(NAME)
    assert description["envVars"] == {"LEADLINE_AUTH": "on"}
    assert description["secrets"] == list(secrets)
    assert description["labels"]["com.openfaas.scale.max"] == "3"
    assert description["annotations"] == annotations
    assert description["limits"] == {"memory": "128Mi", "cpu": "1000m"}
    assert description["image"] == f"ghcr.io/leadline/{NAME}:0.1.0"

    entry = (system.state.root / "secrets" / "api-keys").read_text(encoding="ascii").strip()
    valid_key = entry.rpartition(":")[2]
    assert [cli.invoke(NAME, key=key) for key in ("", "other", valid_key)] == [401, 403, 200]
    eventually(
        lambda: psutil.pid_exists(system.run["processes"].get(NAME, -1)),
        120,
        "run.json has its pid",
    )
    pid = system.pid(NAME)
    try:
        assert cli.put_secret("PUT", "api-keys", "a-key-that-was-rotated-by-faas-cli") == 200
        assert cli.invoke(NAME, key=valid_key) == 403
        assert cli.invoke(NAME, key="a-key-that-was-rotated-by-faas-cli") == 200
    finally:
        cli.put_secret("PUT", "api-keys", entry)
    assert system.pid(NAME) == pid
    # The settings of its deployment outlive the process.
    system.kill(NAME)
    system.await_restart(NAME, pid)
    cli.await_ready(NAME)
    assert cli.invoke(NAME) == 401


@pytest.mark.usefixtures("restore_list_users")
def test_a_deployed_function_has_only_the_secrets_it_names(cli: FaasCli) -> None:
    assert cli.deploy(NAME, secrets=()).status_code == 202
    cli.await_ready(NAME)
    assert cli.invoke(NAME) >= 500, "it reads users without database-url-reader"


@pytest.mark.usefixtures("restore_list_users")
def test_a_removed_function_is_gone_until_it_is_deployed(system: System, cli: FaasCli) -> None:
    assert cli.remove(NAME).status_code == 202
    assert cli.remove(NAME).status_code == 404
    assert cli.invoke(NAME) == 404
    assert system.request("GET", "/users").status_code == 404
    assert NAME not in cli.names()
    assert cli.ask(f"/system/function/{NAME}?usage=1").status_code == 404
    _, health = system.health()
    assert NAME not in health["parts"]
    eventually(lambda: NAME not in system.run["processes"], 120, "its process is gone")
    assert cli.deploy(NAME).status_code == 202
    cli.await_ready(NAME)
    assert cli.invoke(NAME) == 200
    _, health = system.health()
    assert NAME in health["parts"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"service": "resize", "image": "ghcr.io/acme/resize:1"}, "resize"),
        ({"image": "ghcr.io/acme/nothing@sha256:00"}, "nothing"),
        ({"image": "localhost:5000/acme/get-user:1"}, "get-user"),
        ({"service": "create_user"}, "service"),
        ({"envVars": {"PORT": "1"}}, "PORT"),
        ({"envVars": {"A=B": "1"}}, "envVars"),
        ({"envVars": {"A": "a\0b"}}, "envVars"),
        ({"envVars": {"A": 1}}, "envVars"),
        ({"secrets": ["no-such-secret"]}, "no-such-secret"),
        ({"secrets": ["../passwords/gateway"]}, "secrets"),
        ({"namespace": "other"}, "openfaas-fn"),
    ],
)
def test_an_impossible_deployment_is_refused_with_the_reason(
    cli: FaasCli, change: dict[str, Any], reason: str
) -> None:
    body = {"service": NAME, "image": f"{NAME}:1", "labels": None, **change}
    answer = cli.send("POST", "/system/functions", json.dumps(body))
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM)
    assert reason in answer.json()["detail"]
    assert "LEADLINE_AUTH" not in cli.describe(NAME).get("envVars", {})


BODIES = [
    *(b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b"\xff\xfe", b'{"name": 7}'),
    *(b'{"functionName": null}', b'{"service": ["x"], "image": {}}', b'{"name": "\\ud800"}'),
    *(b'{"name": "a", "value": "b", "rawValue": "not base64"}', b'{"replicas": "many"}'),
    *(b'{"service": "get-user", "image": "get-user", "envVars": []}', b"[" * 10_000),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_malformed_body_is_a_client_error(cli: FaasCli, body: bytes) -> None:
    for path in ("/system/functions", "/system/secrets", "/system/scale-function/get-user"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = cli.send(method, path, body)
            assert 400 <= answer.status_code < 500, (method, path)
            assert answer.headers["Content-Type"] == PROBLEM


def test_a_secret_is_created_updated_and_removed(system: System, cli: FaasCli) -> None:
    name, value = "a-secret.of-the-tests", "swordfish-of-the-tests"
    path = system.state.root / "secrets" / name
    assert cli.put_secret("PUT", name, value) == 404
    assert cli.put_secret("POST", name, value) == 201
    assert cli.put_secret("POST", name, "other") == 409
    assert path.read_text(encoding="ascii") == value
    assert path.stat().st_mode & 0o077 == 0
    assert {"name": name, "namespace": "openfaas-fn"} in cli.secrets()
    assert value not in cli.ask("/system/secrets").text
    assert cli.put_secret("PUT", name, value[::-1]) == 200
    assert path.read_text(encoding="ascii") == value[::-1]
    assert [cli.remove_secret(name), cli.remove_secret(name)] == [200, 404]
    assert not path.exists()
    assert value not in system.logs()
    initial = {*table.secrets(), "bitrix-webhook-url", "api-keys", "internal-key"}
    assert initial <= {secret["name"] for secret in cli.secrets()}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "A", "a_b", "-a", "a\n", "x" * 254])
def test_a_secret_with_a_bad_name_is_refused(cli: FaasCli, name: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        body = json.dumps({"name": name, "value": "x"})
        answer = cli.send(method, "/system/secrets", body)
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, PROBLEM), method
    assert cli.put_secret("POST", "empty", "") == 400


def test_logs_come_as_one_json_object_a_line(system: System, cli: FaasCli) -> None:
    system.request("GET", "/users", headers={"X-Call-Id": "a-call-before"})
    answer = cli.ask("/system/logs?follow=false&name=create-user")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert {line["name"] for line in lines} == {"create-user"}
    assert lines
    now = system.log("create-user").splitlines()
    assert [line["text"] for line in lines] == now[: len(lines)]
    assert "function starts" in lines[0]["text"]
    assert dt.datetime.fromisoformat(lines[0]["timestamp"]) < dt.datetime.now(dt.UTC)
    last = cli.ask("/system/logs?follow=false&name=create-user&tail=1").text.splitlines()
    assert [json.loads(line)["text"] for line in last] == [lines[-1]["text"]]
    in_a_minute = quote((dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)).isoformat())
    assert cli.ask(f"/system/logs?follow=false&name=create-user&since={in_a_minute}").text == ""
    assert cli.ask("/system/logs?follow=false&name=nope").status_code == 404
    assert cli.ask("/system/logs?name=create-user&since=yesterday").status_code == 400
    assert cli.ask("/system/logs?name=create-user&tail=x").status_code == 400


def test_followed_logs_show_new_lines(system: System, cli: FaasCli) -> None:
    call_id = f"followed-{os.getpid()}"
    with cli.ask("/system/logs?follow=true&name=create-user&tail=1", stream=True) as answer:
        lines = answer.iter_lines()
        next(lines)
        body = {"full_name": "Иван", "phone": "+77001112233"}
        system.request("POST", "/users", json=body, headers={"X-Call-Id": call_id})
        assert any(call_id in json.loads(line)["text"] for line in lines)


def test_an_unsupported_endpoint_says_so(system: System, cli: FaasCli) -> None:
    answer = system.request("POST", "/async-function/get-user.openfaas-fn", data=b"x")
    assert (answer.status_code, answer.headers["Content-Type"]) == (501, PROBLEM)
    assert "docs/faas-cli.md" in answer.json()["detail"]
    scaled = '{"serviceName":"get-user","replicas":%d}'
    path = "/system/scale-function/get-user"
    assert cli.send("POST", path, scaled % 1).status_code == 202
    assert cli.send("POST", path, scaled % 2).status_code == 400
    assert cli.send("POST", "/system/functions?namespace=x", "{}").status_code == 400
    assert cli.send("PATCH", "/system/functions", "{}").headers["Allow"].count(",") == 3
    assert cli.ask("/system/alert").status_code == 404
