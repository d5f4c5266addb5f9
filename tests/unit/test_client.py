"""The portal client against answers of every shape, sent by a tiny server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from leadline.bitrix24.client import OPERATING_STEP_S, PortalClient
from leadline.bitrix24.command import Command
from leadline.errors import (
    BadConfiguration,
    BitrixError,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Rejected,
    RequestRejected,
    Unavailable,
)
from tests.unit.conftest import Configure

SECRET = "s3cr3twebh00kc0de"  # noqa: S105 - of a test
COMMANDS = {"u1": Command("crm.item.add", {"entityTypeId": 1}), "u2": Command("profile", {})}


class Answering:
    """A portal that answers every request with what it was last told to say."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.headers: dict[str, str] = {}
        #: How many bytes each answer lacks at its end.
        self.cut = 0
        #: The path and the body of each request.
        self.asked: list[tuple[str, Any]] = []
        self.url = ""

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers = status, headers


@pytest.fixture
def answering() -> Iterator[Answering]:
    portal_server = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            portal_server.asked.append((self.path, json.loads(body)))
            self.send_response(portal_server.status)
            self.send_header("Content-Length", str(len(portal_server.body) + portal_server.cut))
            for name, value in portal_server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(portal_server.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    portal_server.url = f"http://127.0.0.1:{server.server_port}/rest/1/{SECRET}/"
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield portal_server
    server.shutdown()
    server.server_close()


@pytest.fixture
def portal(answering: Answering) -> Iterator[PortalClient]:
    client = PortalClient(answering.url)
    yield client
    client.close()


def error_of(portal: PortalClient) -> BitrixError:
    with pytest.raises(BitrixError) as caught:
        portal.call(COMMANDS)
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    return caught.value


def test_each_command_gets_its_own_result_or_error(
    portal: PortalClient, answering: Answering
) -> None:
    errors = {"u2": {"error": "", "error_description": "Not found"}}
    answering.says({"result": {"result": {"u1": {"item": {"id": 5}}}, "result_error": errors}})
    answers = portal.call(COMMANDS).results
    assert answers["u1"] == {"item": {"id": 5}}
    assert isinstance(answers["u2"], Rejected)
    ((path, asked),) = answering.asked
    assert path == f"/rest/1/{SECRET}/batch.json"
    assert asked == {"halt": 0, "cmd": {"u1": "crm.item.add?entityTypeId=1", "u2": "profile?"}}


@pytest.mark.parametrize("empty", [[], {}, None])
def test_an_empty_map_may_come_as_a_list(
    portal: PortalClient, answering: Answering, empty: Any
) -> None:
    answering.says({"result": {"result": {"u1": 1, "u2": []}, "result_error": empty}})
    assert portal.call(COMMANDS).results == {"u1": 1, "u2": []}
    answering.says({"result": {"result": empty, "result_error": {"u1": {"error": "100"}}}})
    answers = portal.call(COMMANDS).results
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
def test_a_command_missing_in_the_answer_may_have_run(
    portal: PortalClient, answering: Answering, body: Any
) -> None:
    answering.says(body)
    answers = portal.call(COMMANDS).results
    assert [type(answer) for answer in answers.values()] == [OutcomeUnknown, OutcomeUnknown]


@pytest.mark.parametrize("code", ["NOT_FOUND", "100", "ERROR_METHOD_NOT_FOUND"])
def test_an_error_of_the_whole_batch_is_not_an_error_of_its_commands(
    portal: PortalClient, answering: Answering, code: str
) -> None:
    answering.says({"error": code, "error_description": "One is not accepted"}, 400)
    assert type(error_of(portal)) is RequestRejected
    # The error of a batch with one command may be that command's own.
    first_command = dict(list(COMMANDS.items())[:1])
    expected = RequestRejected if code == "NOT_FOUND" else Rejected
    with pytest.raises(expected):
        portal.call(first_command)


def test_a_malformed_error_is_still_an_error(portal: PortalClient, answering: Answering) -> None:
    answering.says({"result": {"result": {"u1": 1}, "result_error": {"u1": "odd", "u2": None}}})
    answers = portal.call(COMMANDS).results
    assert all(isinstance(answer, BitrixError) for answer in answers.values())


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"result": {"resu', b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000],
)
@pytest.mark.parametrize("status", [200, 500, 502, 504])
def test_an_unreadable_answer_leaves_the_outcome_unknown(
    portal: PortalClient, answering: Answering, status: int, body: bytes
) -> None:
    answering.says(body, status)
    error = error_of(portal)
    assert isinstance(error, OutcomeUnknown)
    assert error.may_still_run


def test_a_truncated_answer_leaves_the_outcome_unknown(
    portal: PortalClient, answering: Answering
) -> None:
    answering.says({"result": {"result": {"u1": 1}}})
    answering.cut = 100
    error = error_of(portal)
    assert isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("status", [200, 503])
def test_an_error_counts_even_with_http_200(
    portal: PortalClient, answering: Answering, status: int
) -> None:
    answering.says({"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many"}, status)
    assert isinstance(error_of(portal), Refused)


def test_the_errors_of_rest_3_are_read_too(portal: PortalClient, answering: Answering) -> None:
    answering.says({"error": {"code": "OVERLOAD_LIMIT", "message": "Blocked"}}, 503)
    error = error_of(portal)
    assert isinstance(error, PortalDown)
    assert error.detail == "Blocked"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_and_pauses_calls(
    portal: PortalClient, answering: Answering, status: int
) -> None:
    answering.says(b"", status, Location=f"{answering.url}batch.json")
    error = error_of(portal)
    assert isinstance(error, PortalDown)
    assert "127.0.0.1" in error.detail
    assert len(answering.asked) == 1


def test_the_target_of_a_redirect_is_shortened(portal: PortalClient, answering: Answering) -> None:
    answering.says(b"", 302, Location=f"https://{'x' * 60_000}/")
    error = error_of(portal)
    assert isinstance(error, PortalDown)
    assert len(error.detail) < 500


def test_a_redirect_to_an_invalid_url_is_an_ordinary_error(
    portal: PortalClient, answering: Answering
) -> None:
    answering.says(b"", 302, Location="https://[nonsense")
    assert isinstance(error_of(portal), OutcomeUnknown)


def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    with pytest.raises(Unavailable) as caught:
        PortalClient(f"http://127.0.0.1:1/rest/1/{SECRET}/").call(COMMANDS)
    assert SECRET not in str(caught.value)


def test_an_unresolvable_host_proves_that_nothing_was_sent(configure: Configure) -> None:
    configure(cleartext="bitrix24")
    with pytest.raises(Unavailable):
        PortalClient(f"http://no-such-portal.invalid/rest/1/{SECRET}/").call(COMMANDS)


@pytest.mark.parametrize("times", [None, [], {}, "x", {"u1": None}, {"u1": {"operating": "x"}}])
def test_malformed_times_do_not_invalidate_an_answer(
    portal: PortalClient, answering: Answering, times: Any
) -> None:
    answering.says({"result": {"result": {"u1": 1, "u2": 2}, "result_time": times}, "time": times})
    assert portal.call(COMMANDS).results == {"u1": 1, "u2": 2}


@pytest.mark.parametrize("odd", ["abc", None, True, -1, [], {}, "1e400", 1e300, 10**18], ids=repr)
@pytest.mark.parametrize("name", ["operating", "operating_reset_at", "finish", "duration"])
def test_an_implausible_time_does_not_pause_a_method_for_long(
    portal: PortalClient, answering: Answering, name: str, odd: Any
) -> None:
    good = {"operating": 1.5, "operating_reset_at": 1600, "finish": 1500.0, "duration": 0.5}
    times = {"u1": good | {name: odd}}
    answering.says({"result": {"result": {"u1": 1, "u2": 2}, "result_time": times}})
    timing = portal.call(COMMANDS).timings["crm.item.add"]
    assert 0 <= timing.reset_in_s <= 600
    assert 0 <= timing.seconds <= 600
    assert timing.used_s is None or timing.used_s >= 0
    if name != "operating":
        assert timing.used_s == 1.5


def test_a_reset_time_alone_is_ignored(portal: PortalClient, answering: Answering) -> None:
    times = {"u1": {"operating": 1.5, "operating_reset_at": 1757425271}}
    answering.says({"result": {"result": {"u1": 1}, "result_time": times}})
    assert portal.call(COMMANDS).timings["crm.item.add"].reset_in_s == OPERATING_STEP_S


def json_of(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | floats | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("u1"), inner),
        max_leaves=12,
    )


JSON = json_of(st.floats())
#: JSON itself, without Python's NaN.
FINITE = json_of(st.floats(allow_nan=False, allow_infinity=False))
#: With the names that an answer has, and anything under them.
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "error": JSON,
        "error_description": JSON,
        "time": JSON,
        "result": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "result": JSON | st.fixed_dictionaries({}, optional={"u2": JSON}),
                "result_error": JSON
                | st.fixed_dictionaries(
                    {"u1": st.fixed_dictionaries({"error": JSON, "error_description": JSON}) | JSON}
                ),
                "result_time": JSON
                | st.fixed_dictionaries(
                    {
                        "u1": st.fixed_dictionaries(
                            {},
                            optional=dict.fromkeys(
                                ("operating", "operating_reset_at", "finish", "duration"), JSON
                            ),
                        )
                    }
                ),
            },
        ),
    },
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(body=ANSWERS | JSON, status=st.sampled_from([200, 400, 403, 500]))
@example(body={"error": ["x" * 999], "error_description": ["x" * 999]}, status=400)
@example(body={"result": {"result_error": {"u1": {"error": "x" * 999}}}}, status=200)
def test_any_json_gives_each_command_a_result_or_is_an_error_of_the_call(
    portal: PortalClient, answering: Answering, body: Any, status: int
) -> None:
    answering.says(body, status)
    errors: list[Any] = []
    try:
        batch = portal.call(COMMANDS)
    except BitrixError as error:
        errors.append(error)
    else:
        assert batch.results.keys() == COMMANDS.keys()
        assert all(0 <= timing.reset_in_s <= 600 for timing in batch.timings.values())
        errors += (result for result in batch.results.values() if isinstance(result, BitrixError))
    assert all(len(error.detail) <= 500 and len(error.code) <= 100 for error in errors)


@pytest.mark.parametrize("place", ["result", "result_error", "result_time"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(odd=FINITE)
def test_a_malformed_result_of_one_command_does_not_affect_the_others(
    portal: PortalClient, answering: Answering, place: str, odd: Any
) -> None:
    parts: dict[str, dict[str, Any]] = {"result": {"u2": 2}, "result_error": {}}
    parts[place] = {**parts.get(place, {}), "u1": odd}
    answering.says({"result": parts})
    assert portal.call(COMMANDS).results["u2"] == 2


@pytest.mark.parametrize("end", ["", "/", "//", " \n"])
def test_the_trailing_slash_of_a_webhook_is_optional(answering: Answering, end: str) -> None:
    answering.says({"result": {}})
    client = PortalClient(answering.url.rstrip("/") + end)
    client.call(COMMANDS)
    client.close()
    assert answering.asked[0][0] == f"/rest/1/{SECRET}/batch.json"


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
def test_an_invalid_webhook_is_rejected_and_not_quoted(url: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        PortalClient(url)
    assert SECRET not in str(caught.value)
