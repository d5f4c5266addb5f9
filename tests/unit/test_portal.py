"""The portal client against answers of every shape, sent by a tiny server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from leadline.bitrix24.command import Command
from leadline.bitrix24.portal import Portal
from leadline.runtime.errors import (
    BadConfiguration,
    BitrixError,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Rejected,
    Unavailable,
)

SECRET = "s3cr3twebh00kc0de"
COMMANDS = {"u1": Command("crm.item.add", {"entityTypeId": 1}), "u2": Command("profile", {})}


class Answering:
    """A portal that gives one answer, whatever it is asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.headers: dict[str, str] = {}
        self.cut = 0
        self.asked: list[tuple[str, Any]] = []
        self.url = ""

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, headers


@pytest.fixture
def answering() -> Iterator[Answering]:
    told = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.asked.append((self.path, json.loads(body)))
            self.send_response(told.status)
            self.send_header("Content-Length", str(len(told.body) + told.cut))
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/rest/1/{SECRET}/"
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def portal(answering: Answering) -> Iterator[Portal]:
    made = Portal(answering.url)
    yield made
    made._session.close()  # noqa: SLF001 - Python complains of open sockets


def error_of(portal: Portal) -> BitrixError:
    with pytest.raises(BitrixError) as caught:
        portal.call(COMMANDS)
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    return caught.value


def test_each_command_gets_its_own_result_or_error(portal: Portal, answering: Answering) -> None:
    errors = {"u2": {"error": "", "error_description": "Not found"}}
    answering.says({"result": {"result": {"u1": {"item": {"id": 5}}}, "result_error": errors}})
    answers = portal.call(COMMANDS).answers
    assert answers["u1"] == {"item": {"id": 5}}
    assert isinstance(answers["u2"], Rejected)
    ((path, asked),) = answering.asked
    assert path == f"/rest/1/{SECRET}/batch.json"
    assert asked == {"halt": 0, "cmd": {"u1": "crm.item.add?entityTypeId=1", "u2": "profile?"}}


@pytest.mark.parametrize("empty", [[], {}, None])
def test_an_empty_map_may_come_as_a_list(portal: Portal, answering: Answering, empty: Any) -> None:
    answering.says({"result": {"result": {"u1": 1, "u2": []}, "result_error": empty}})
    assert portal.call(COMMANDS).answers == {"u1": 1, "u2": []}
    answering.says({"result": {"result": empty, "result_error": {"u1": {"error": "100"}}}})
    answers = portal.call(COMMANDS).answers
    assert isinstance(answers["u1"], Rejected)
    assert isinstance(answers["u2"], OutcomeUnknown)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"result": None},
        {"result": []},
        {"result": "x"},
        {"result": {"result": [1, 2]}},
        {"result": {"result": {"u9": 1}}},
    ],
)
def test_a_command_that_the_answer_does_not_speak_of_may_have_run(
    portal: Portal, answering: Answering, body: Any
) -> None:
    answering.says(body)
    answers = portal.call(COMMANDS).answers
    assert [type(one) for one in answers.values()] == [OutcomeUnknown, OutcomeUnknown]


def test_an_error_of_odd_shape_is_still_an_error(portal: Portal, answering: Answering) -> None:
    answering.says({"result": {"result": {"u1": 1}, "result_error": {"u1": "odd", "u2": None}}})
    answers = portal.call(COMMANDS).answers
    assert all(isinstance(one, BitrixError) for one in answers.values())


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"result": {"resu', b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000],
)
@pytest.mark.parametrize("status", [200, 500, 502, 504])
def test_an_answer_that_can_not_be_read_leaves_the_outcome_unknown(
    portal: Portal, answering: Answering, status: int, body: bytes
) -> None:
    answering.says(body, status)
    error = error_of(portal)
    assert isinstance(error, OutcomeUnknown)
    assert error.may_still_run


def test_an_answer_that_is_cut_off_leaves_the_outcome_unknown(
    portal: Portal, answering: Answering
) -> None:
    answering.says({"result": {"result": {"u1": 1}}})
    answering.cut = 100
    error = error_of(portal)
    assert isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("status", [200, 503])
def test_an_error_counts_also_on_http_200(
    portal: Portal, answering: Answering, status: int
) -> None:
    answering.says({"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many"}, status)
    assert isinstance(error_of(portal), Refused)


def test_the_errors_of_rest_3_are_read_too(portal: Portal, answering: Answering) -> None:
    answering.says({"error": {"code": "OVERLOAD_LIMIT", "message": "Blocked"}}, 503)
    error = error_of(portal)
    assert isinstance(error, PortalDown)
    assert error.detail == "Blocked"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_pauses(
    portal: Portal, answering: Answering, status: int
) -> None:
    answering.says(b"", status, Location=f"{answering.url}batch.json")
    error = error_of(portal)
    assert isinstance(error, PortalDown)
    assert "127.0.0.1" in error.detail
    assert len(answering.asked) == 1


def test_a_redirect_to_nowhere_is_an_error_like_others(
    portal: Portal, answering: Answering
) -> None:
    answering.says(b"", 302, Location="https://[nonsense")
    assert isinstance(error_of(portal), OutcomeUnknown)


def test_a_portal_that_refuses_the_connection_was_sent_nothing() -> None:
    with pytest.raises(Unavailable) as caught:
        Portal(f"http://127.0.0.1:1/rest/1/{SECRET}/").call(COMMANDS)
    assert SECRET not in str(caught.value)


def test_a_portal_that_nobody_knows_was_sent_nothing() -> None:
    with pytest.raises(Unavailable):
        Portal(f"http://no-such-portal.invalid/rest/1/{SECRET}/").call(COMMANDS)


def test_a_probe_asks_for_next_to_nothing(portal: Portal, answering: Answering) -> None:
    answering.says({"result": {"ID": "1"}})
    portal.probe()
    assert answering.asked == [(f"/rest/1/{SECRET}/profile.json", {})]
    answering.says({"error": "NO_AUTH_FOUND"}, 401)
    with pytest.raises(PortalDown):
        portal.probe()


@pytest.mark.parametrize("times", [None, [], {}, "x", {"u1": None}, {"u1": {"operating": "x"}}])
def test_odd_times_spoil_no_answer(portal: Portal, answering: Answering, times: Any) -> None:
    answering.says({"result": {"result": {"u1": 1, "u2": 2}, "result_time": times}, "time": times})
    assert portal.call(COMMANDS).answers == {"u1": 1, "u2": 2}


@pytest.mark.parametrize("end", ["", "/", "//", " \n"])
def test_a_webhook_may_end_with_a_slash_or_not(answering: Answering, end: str) -> None:
    answering.says({"result": {}})
    made = Portal(answering.url.rstrip("/") + end)
    made.probe()
    made._session.close()  # noqa: SLF001
    assert answering.asked[0][0] == f"/rest/1/{SECRET}/profile.json"


@pytest.mark.parametrize(
    "url",
    [
        "",
        SECRET,
        f"ftp://host/rest/1/{SECRET}/",
        f"https:///rest/1/{SECRET}/",
        f"https://host/{SECRET}",
        f"https://host/rest/1/{SECRET}/crm.lead.add/x",
        f"https://host:{SECRET}/rest/1/{SECRET}/",
        f"https://[{SECRET}/rest/1/{SECRET}/",
    ],
)
def test_what_is_no_webhook_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        Portal(url)
    assert SECRET not in str(caught.value)
