"""The edge: REST paths, /function/<name>, its own answers, and no 5xx for malformed requests."""

import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from tests.system import System

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("DELETE", "/users", 405, {"POST", "GET"}),
        ("PUT", "/users/1", 405, {"GET", "PATCH", "DELETE"}),
        ("GET", "/users/1/move", 405, {"POST"}),
        ("GET", "//", 404, set()),
        ("GET", "/nothing", 404, set()),
        ("GET", "/users/", 404, set()),
        ("GET", "/users/1/other", 404, set()),
        ("POST", "/function/no-such-function", 404, set()),
    ],
)
def test_an_unknown_path_or_method_is_a_problem(
    system: System, method: str, path: str, status: int, allow: set[str]
) -> None:
    answer = system.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.json()["status"] == status
    assert {method for method in answer.headers.get("Allow", "").split(", ") if method} == allow


def test_a_function_gets_the_path_after_its_name(system: System) -> None:
    user = system.create()
    for path in (f"/users/{user['id']}", f"/{user['id']}", f"?id={user['id']}"):
        answer = system.request("GET", f"/function/get-user{path}")
        assert (answer.status_code, answer.json()["id"]) == (200, user["id"]), path


def test_a_call_keeps_its_id_or_gets_one(system: System) -> None:
    answer = system.request("GET", "/users", headers={"X-Call-Id": "call-1"})
    assert answer.headers["X-Call-Id"] == "call-1"
    ids = {system.request("GET", path).headers["X-Call-Id"] for path in ("/users", "/nothing")}
    assert len(ids) == 2


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1024 * 1024 + 1, 8 * 1024 * 1024])
def test_a_body_over_the_limit_is_refused(system: System, size: int) -> None:
    headers = {"Content-Type": "application/json"}
    answer = system.request("POST", "/users", data=b"x" * size, headers=headers)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == PROBLEM


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /users/\xff\xfe",
        b"GET /users/%00",
        b"GET /users/%ff",
        b"GET /users/%zz",
        b"GET //users",
        b"GET /users/1%2Fmove",
        b"GET /function/get-user/../../etc/passwd",
        b"GET /function/get-user/\xd0\x96?\xff=%ff",
        b"GET /users/" + b"9" * 7000,
        b"POST /users/1/move\r",
        b"FOO /users",
        b"CONNECT /users",
        b"TRACE /users/1",
    ],
)
@pytest.mark.parametrize(
    "header", [b"X-A: 1", b"X-A: \xff", b"X-Call-Id: \xff", b"Connection: Host, X-Call-Id"]
)
def test_odd_bytes_never_give_a_5xx(system: System, request_line: bytes, header: bytes) -> None:
    answer = _send_raw(
        system, request_line + b" HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n"
    )
    version, status = answer.split()[:2]
    assert version in {b"HTTP/1.0", b"HTTP/1.1"}
    assert status < b"500", answer


def test_a_body_declared_as_compressed_is_a_client_error(system: System) -> None:
    request = (
        b"POST /users HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert _send_raw(system, request).startswith(b"HTTP/1.1 4")


def _send_raw(system: System, request: bytes) -> bytes:
    """The edge's whole answer to these bytes."""
    parts = urlsplit(system.url("edge"))
    assert parts.port
    with socket.create_connection(("127.0.0.1", parts.port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            head, end, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            if end and (length is None or len(body) >= int(length[1])):
                break
        return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET /users HTTP/9.9\r\n\r\n", 400),
        (b"GET /users HTTP/1.1\r\nHost x\r\n\r\n", 400),
        (b"GET /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /users HTTP/1.1\r\nHost: localhost\r\nExpect: the-unexpected\r\n\r\n", 417),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
def test_malformed_http_is_a_problem_too(system: System, request_: bytes, status: int) -> None:
    head, _, body = _send_raw(system, request_).partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert b"Content-Type: " + PROBLEM.encode() in head
    assert json.loads(body)["status"] == status


def test_a_client_may_wait_for_100_continue(system: System) -> None:
    body = b'{"full_name": ""}'
    head = (
        b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    parts = urlsplit(system.url("edge"))
    with socket.create_connection(("127.0.0.1", parts.port or 0), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 422 ")
