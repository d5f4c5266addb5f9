"""Hundreds of odd inputs through the edge: no 5xx, no stack trace, no hang."""

# ruff: noqa: E501 - tables of odd bytes, dense on purpose

import itertools
import json
import socket
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.faults import system_logs
from tests.servers import eventually
from tests.system import System

JSON = "application/json"
PHONE = "+77001112233"

_TEXTS: list[str] = [
    "", " ", "\0", "a\0b", "\u0085", "\u2028", "\u202e", "\u200b", "\ufeff", "\uffff", "\U0010ffff",
    "'; DROP TABLE users; --", "' OR '1'='1", "\\", '"', "%s%n%x", "{0}", ":id", "$1", "%00",
    "${jndi:ldap://x}", "{{7*7}}", "<script>alert(1)</script>", "../../etc/passwd", "\r\nX: y",
    "😀" * 100, "а\u0300" * 50, "x" * 101, "x" * 10_000, "null", "NaN", "١٢٣", "0x10", "1e5",
]  # fmt: skip
_NUMBERS: list[object] = [0, -1, 1.5, 1e308, 2**31, 2**63, 2**64, 10**40, -(2**63)]
_VALUES: list[object] = [None, True, False, [], {}, [[[]]], {"a": {}}, *_NUMBERS, *_TEXTS]
_PHONES = [
    *("+" + "9" * length for length in (1, 2, 5, 15, 16, 17, 39, 40, 41)),
    *(
        f"+{country}{'1' * length}"
        for country in (1, 7, 39, 43, 49, 81, 800)
        for length in range(2, 18)
    ),
    "tel:+77001112233", "tel:1;phone-context=+7", "+77001112233;ext=5", "+٧٧٠٠١١١٢٢٣٣", "++7",
    "+7 700 111 22 33 x 99999", "0077001112233", "+0", "+", "+7\0", "a" * 40, "+7700111223३",
]  # fmt: skip
_BODIES: list[bytes] = [
    b"", b"{", b"}", b"null", b"1", b'"a"', b"[]", b"{}", b"NaN", b"\xff", b"\0", b"a=b&c=d",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    *(b'{"a":' * deep + b"1" + b"}" * deep for deep in (120, 250, 900, 9000)),
    *(b'{"user":' * deep + b"[]" + b"}" * deep for deep in (120, 250, 900, 7000)),
    b'{"full_name":' + b"9" * 5000 + b"}",
    b"<x/>",
    b"\x1f\x8b",
    b"\xef\xbb\xbf{}", '{"full_name":"a"}'.encode("utf-16"), b'{"full_name":"\xed\xa0\x80"}',
    b'{"full_name":"\\ud800","phone":"+77001112233"}', b'{"\\ud800":1}', b'{"\\u0000":1}',
    b'{"full_name":1e400}', b'{"a":1,"a":2}', b'{"a":1,}', b"{'a':1}", b'{"__proto__":{}}',
    b"{" + b",".join(b'"k%d":1' % number for number in range(4000)) + b"}",
    b'{"full_name":"A","phone":"+77001112233"}'.ljust(65_537),
    b"x" * 2_000_000,
]  # fmt: skip
_TYPES = [
    JSON, "APPLICATION/JSON", "application/json; charset=utf-16", "application/json;;;", "text/plain",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data",
    "application/cloudevents+json", "application/cloudevents-batch+json", "a/b+json", ";", "/",
]  # fmt: skip
_IDS = [
    "0", "-1", "1.5", "1e3", "0x1", "+1", "%201", "1%20", "%00", "1%00", "%ff", "%zz", "%2F", "..", "١",
    str(2**63 - 1), str(2**63), "9" * 19, "9" * 400, "null", "me", "1'--", "1;", "a" * 4000, "1/2/3",
    "%F0%9F%98%80", "1%0d%0aX:1", "{id}", "*", "~", "1?id=2&id=3", "?id=", "?id=%00", "?id[]=1",
]  # fmt: skip
_HEADERS: list[dict[str, Any]] = [
    *({"If-Match": tag} for tag in ("", '"', 'W/"1"', '"1", "2"', "\xb9", "9" * 400, '"-1"', "*, *")),
    *({"Idempotency-Key": key} for key in (" ", "a b", b"\xff\xfe", "x" * 255, "x" * 5000, "\t")),
    *({"X-Call-Id": call} for call in ("", "x" * 5000, b"\xff", "a\tb", '"}{"event":"fake"}')),
    *({"traceparent": trace} for trace in ("00", "00-" + "0" * 32, "ff-" + "a" * 50, b"\xff", "-" * 55)),
    *({"Authorization": key} for key in ("Bearer", "Bearer " + "x" * 5000, b"Bearer \xff", "Basic ???")),
    *({"Content-Encoding": kind} for kind in ("gzip", "deflate", "br", "nonsense", "identity, gzip")),
    *({"ce-specversion": version} for version in ("1.0", "0.3", "9", "")),
    {"Host": "a b"}, {"Host": "x" * 300}, {"Host": "[::1"}, {"Host": ""}, {"Host": "evil.example:99999"},
    {"X-Forwarded-For": "x" * 5000}, {"X-Forwarded-Host": "a b"}, {"X-Forwarded-Proto": "\xff"},
    {"Accept": "nonsense"}, {"Accept-Encoding": "\xff"}, {"Range": "bytes=-1"}, {"Cookie": "=;=;="},
    {"Expect": "100-continue"}, {"Expect": "nonsense"}, {"Upgrade": "websocket", "Connection": "Upgrade"},
    {"X-HTTP-Method-Override": "DELETE"}, {"Date": "nonsense"}, {"Via": "x" * 7000},
]  # fmt: skip
_RAW: list[bytes] = [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET /users\r\n\r\n", b"GET /users HTTP/9.9\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://evil.example/users HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET users HTTP/1.1\r\nHost: x\r\n\r\n", b"GET  /users  HTTP/1.1\r\nHost: x\r\n\r\n", b"get /users HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /users HTTP/1.1\r\n\r\n", b"GET /users HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET /users HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /users HTTP/1.1\r\n Host: x\r\n\r\n", b"GET /users HTTP/1.1\r\nHost: x\r\n : y\r\n\r\n", b"GET /users HTTP/1.1\nHost: x\n\n",
    b"GET /users HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"GET /users HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
    b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /users?" + b"a=b&" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    *(
        b"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + rest
        for rest in (
            b"Content-Length: -1\r\n\r\n{}", b"Content-Length: x\r\n\r\n{}", b"Content-Length: +2\r\n\r\n{}",
            b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", b"Content-Length: 2, 2\r\n\r\n{}",
            b"Content-Length: 99999999999999999999\r\n\r\n", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            b"Transfer-Encoding: nonsense\r\n\r\n{}", b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            b'Transfer-Encoding: chunked\r\n\r\n2;ext="\r\n{}\r\n0\r\nTrailer: x\r\n\r\n',
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"\r\n{}",
        )
    ),
]  # fmt: skip

#: A request: its method, its path, and options of `requests.request`.
Case = tuple[str, str, dict[str, Any]]


def _as_json(body: object) -> dict[str, Any]:
    return {"data": json.dumps(body).encode(), "headers": {"Content-Type": JSON}}


def _fields(user: int) -> Iterator[Case]:
    """Every odd value in every field of every writing call."""
    valid_body = {"full_name": "Кто-то Странный", "phone": PHONE, "stage": "NEW"}
    for name, value in itertools.product(valid_body, _VALUES):
        yield "POST", "/users", _as_json({**valid_body, name: value})
        yield "PATCH", f"/users/{user}", _as_json({name: value})
    for value in _VALUES:
        yield "POST", f"/users/{user}/move", _as_json({"stage": value})
        yield "POST", "/users", _as_json(value)
        yield "POST", "/users", _as_json({**valid_body, str(value): value})
    for phone in _PHONES:
        yield "POST", "/users", _as_json({**valid_body, "phone": phone})


def _bodies(user: int) -> Iterator[Case]:
    endpoints = [
        ("POST", "/users"),
        ("PATCH", f"/users/{user}"),
        ("POST", f"/users/{user}/move"),
        ("POST", "/function/bitrix-handler"),
        ("POST", "/function/reply-handler/"),
    ]
    for (method, path), body in itertools.product(endpoints, _BODIES):
        yield method, path, {"data": body, "headers": {"Content-Type": JSON}}
    for (method, path), kind in itertools.product(endpoints, _TYPES):
        for body in (b"{}", b"[]", b"--x\r\n\r\n--x--", b'{"specversion": ["1.0"]}', b""):
            yield method, path, {"data": body, "headers": {"Content-Type": kind}}


def _paths(user: int) -> Iterator[Case]:
    for user_id in _IDS:
        for method, path in (
            ("GET", f"/users/{user_id}"),
            ("PATCH", f"/users/{user_id}"),
            ("POST", f"/users/{user_id}/move"),
            ("GET", f"/function/get-user/{user_id}"),
            ("GET", f"/function/{user_id}"),
            ("GET", f"/{user_id}"),
            ("GET", f"/users?after={user_id}"),
            ("GET", f"/users?stage={user_id}&limit={user_id}"),
        ):
            yield method, path, _as_json({"stage": "NEW"}) if method != "GET" else {}
    for method in (
        "HEAD",
        "PUT",
        "DELETE",
        "OPTIONS",
        "TRACE",
        "PROPFIND",
        "FOO",
        "get",
        "A" * 200,
    ):
        for path in (
            "/users",
            f"/users/{user}",
            f"/users/{user}/move",
            "/function/create-user",
            "/",
        ):
            if (method, path) != ("DELETE", f"/users/{user}"):  # it would erase the user
                yield method, path, {}


def _headers(user: int) -> Iterator[Case]:
    for headers in _HEADERS:
        yield "GET", f"/users/{user}", {"headers": headers}
        body = {"data": b'{"stage":"NEW"}', "headers": {"Content-Type": JSON, **headers}}
        yield "POST", f"/users/{user}/move", body
        yield "PATCH", f"/users/{user}", body


@pytest.mark.slow("sends thousands of odd requests")
def test_no_odd_request_gives_a_5xx_or_a_stack_trace(system: System) -> None:
    user = int(system.create("Странный Сосед")["id"])
    cases = [*_fields(user), *_bodies(user), *_paths(user), *_headers(user)]
    assert len(cases) > 800
    with ThreadPoolExecutor(8) as pool:
        problems = [
            trouble
            for trouble in pool.map(lambda case: _trouble_with(system, case), cases)
            if trouble
        ]
    assert not problems, _describe(problems, len(cases))
    assert system.user(user)["id"] == user
    assert "Traceback" not in "".join(line for _, line in system_logs.raw_lines(system))
    assert not [line for _, line in system_logs.raw_lines(system) if "unexpected error" in line]
    eventually(system.is_well, 120, "all is well afterwards")


def test_malformed_http_gives_no_5xx_and_the_edge_keeps_serving(system: System) -> None:
    problems = []
    with ThreadPoolExecutor(8) as pool:
        for request, answer in zip(
            _RAW, pool.map(lambda raw: _send_raw(system, raw), _RAW), strict=True
        ):
            is_5xx = answer[8:10] == b" 5"  # the status follows `HTTP/1.1`
            if is_5xx or b"Traceback" in answer:
                problems.append(f"{request[:80]!r} → {answer[:120]!r}")
    assert not problems, _describe(problems, len(_RAW))
    assert system.request("GET", "/users?limit=1").status_code == 200


def _trouble_with(system: System, case: Case) -> str:
    """The problem with the answer; "" if there is none."""
    method, path, options = case
    what = f"{method} {path[:80]} {str(options)[:160]}"
    try:
        answer = requests.request(
            method, system.url("edge") + path, timeout=60, allow_redirects=False, **options
        )
    except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
        return ""  # even our client refuses to send it
    except requests.exceptions.ReadTimeout:
        return f"{what} → no answer"
    except requests.exceptions.ConnectionError as error:
        # The server may hang up during a body that is too long.
        return "" if len(options.get("data", b"")) > 10**6 else f"{what} → {type(error).__name__}"
    if answer.status_code >= 500 or b"Traceback" in answer.content:
        return f"{what} → {answer.status_code} {answer.text[:120]}"
    is_ours = "X-Call-Id" in answer.headers  # otherwise aiohttp has refused it itself
    is_described = answer.headers.get("Content-Type", "").startswith("application/")
    if answer.status_code >= 400 and is_ours and not is_described and method != "HEAD":
        return f"{what} → {answer.status_code} is no problem document: {answer.text[:80]}"
    return ""


def _send_raw(system: System, request: bytes) -> bytes:
    """The beginning of the edge's answer; nothing if it closed the connection without one."""
    parts = urlsplit(system.url("edge"))
    assert parts.port
    with socket.create_connection(("127.0.0.1", parts.port), timeout=60) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return connection.recv(65_536)
        except OSError:
            return b""


def _describe(problems: Iterable[str], total: int) -> str:
    problem_list = list(problems)
    return "\n".join([f"{len(problem_list)} of {total}:", *problem_list[:25]])
