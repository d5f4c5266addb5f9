"""A portal connection to misbehaving servers: what was sent, and when the call ends."""

import gzip
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.bitrix24 import client as portal_module
from leadline.bitrix24 import timed_connection
from leadline.bitrix24.client import PortalClient
from leadline.bitrix24.command import Command
from leadline.bitrix24.timed_connection import MAX_RESPONSE_BYTES
from leadline.errors import BitrixError, LeaseTooShort, OutcomeUnknown, Refused, Unavailable
from leadline.runtime import clock
from tests.unit.conftest import Configure
from tests.unit.misbehaving import SECRET, Behave, Connection, answer, server

COMMANDS = {"u1": Command("profile", {})}
DONE = b'{"result": {"result": {"u1": 1}}}'
#: A TLS record of 32 bytes of application data, which no key has encrypted.
UNDECIPHERABLE = b"\x17\x03\x03\x00\x20" + bytes(32)
#: Time-outs of a call in these tests, and the most that a busy machine may add to them. Together
#: they are shorter than an answer sent byte by byte, so a call that reads all of it is noticed.
CONNECT_S, RESPONSE_S, SPARE_S = 1.0, 1.0, 30.0

Open = Callable[[str], PortalClient]


@pytest.fixture(autouse=True)
def _short_timeouts(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    # The response may take the request limit and this margin.
    configure(request_limit_s="1")
    monkeypatch.setattr(portal_module, "READ_MARGIN_S", RESPONSE_S - 1)
    monkeypatch.setattr(portal_module, "CONNECT_TIMEOUT_S", CONNECT_S)


@pytest.fixture
def patient(_short_timeouts: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time for a call that succeeds."""
    monkeypatch.setattr(portal_module, "READ_MARGIN_S", 60)
    monkeypatch.setattr(portal_module, "CONNECT_TIMEOUT_S", 60)


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's TLS context; this process trusts its CA."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def portal_opener() -> Iterator[Open]:
    portals: list[PortalClient] = []

    def open_portal(url: str) -> PortalClient:
        portals.append(PortalClient(url))
        return portals[-1]

    yield open_portal
    for portal in portals:
        portal.close()


def error_of(portal: PortalClient) -> BitrixError:
    """The error of a call that ended in time and quotes no secret."""
    began = time.monotonic()
    with pytest.raises(BitrixError) as caught:
        portal.call(COMMANDS)
    assert time.monotonic() - began < CONNECT_S + RESPONSE_S + SPARE_S
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    return caught.value


def may_still_run(error: BitrixError) -> bool:
    return isinstance(error, OutcomeUnknown) and error.may_still_run


def breaks_a_record(connection: Connection) -> None:
    connection.read_request()
    connection.raw.sendall(UNDECIPHERABLE)


def answers_in_plain_text(connection: Connection) -> None:
    connection.read_request()
    connection.raw.sendall(answer(b"Bad Gateway", status=b"502 Bad Gateway"))


def breaks_a_record_of_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.peer.sendall(answer(DONE)[:-5])
    connection.raw.sendall(UNDECIPHERABLE)


def hangs_up_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.peer.sendall(answer(DONE)[:-5])


def hangs_up_after_the_request(connection: Connection) -> None:
    connection.read_request()


def resets_after_the_request(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def resets_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.peer.sendall(answer(DONE)[:-5])
    connection.ended.wait(0.1)
    connection.reset()


def says_nothing(connection: Connection) -> None:
    connection.read_request()
    connection.ended.wait()


#: Without TLS these send an answer.
BROKEN_TLS = [breaks_a_record, answers_in_plain_text, breaks_a_record_of_the_body]
BROKEN = [
    hangs_up_in_the_body,
    hangs_up_after_the_request,
    resets_after_the_request,
    resets_in_the_body,
    says_nothing,
]


@pytest.mark.parametrize("behave", [*BROKEN_TLS, *BROKEN])
def test_any_error_after_a_request_with_tls_leaves_the_outcome_unknown(
    portal_opener: Open, tls: ssl.SSLContext, behave: Behave
) -> None:
    with server(behave, tls) as portal:
        assert may_still_run(error_of(portal_opener(portal.url)))


@pytest.mark.parametrize("behave", BROKEN)
def test_any_error_after_a_request_without_tls_leaves_the_outcome_unknown(
    portal_opener: Open, behave: Behave
) -> None:
    with server(behave) as portal:
        assert may_still_run(error_of(portal_opener(portal.url)))


@pytest.mark.usefixtures("patient")
def test_a_valid_answer_is_read_over_tls(portal_opener: Open, tls: ssl.SSLContext) -> None:
    def behave(connection: Connection) -> None:
        while connection.read_request():
            connection.peer.sendall(answer(DONE))

    with server(behave, tls) as portal:
        client = portal_opener(portal.url)
        for _ in range(3):
            assert client.call(COMMANDS).results == {"u1": 1}
        client.close()
    assert portal.connections == 1


def test_with_an_unknown_certificate_nothing_was_sent(
    portal_opener: Open, tls: ssl.SSLContext
) -> None:
    trustme.CA().issue_cert("localhost").configure_cert(tls)
    seen = []
    with server(lambda connection: seen.append(connection.read_request()), tls) as portal:
        error = error_of(portal_opener(portal.url))
    assert isinstance(error, Unavailable)
    assert seen == []


def test_with_a_certificate_for_another_name_nothing_was_sent(
    portal_opener: Open, tls: ssl.SSLContext
) -> None:
    with server(says_nothing, tls) as portal:
        error = error_of(portal_opener(portal.url.replace("localhost", "127.0.0.1")))
    assert isinstance(error, Unavailable)


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02", b""],
    ids=["plain HTTP", "an unfinished alert", "nothing"],
)
def test_after_a_failed_handshake_nothing_was_sent(portal_opener: Open, said: bytes) -> None:
    def behave(connection: Connection) -> None:
        connection.peer.recv(65536)
        connection.peer.sendall(said)

    with server(behave) as portal:
        error = error_of(portal_opener(portal.url.replace("http:", "https:")))
    assert isinstance(error, Unavailable)


def test_after_an_unanswered_handshake_nothing_was_sent(portal_opener: Open) -> None:
    handshake = b"\x16\x03\x03\x40\x00" * 100  # the header of a long record, and no end of it
    with server(lambda connection: connection.drip(handshake)) as portal:
        error = error_of(portal_opener(portal.url.replace("http:", "https:")))
    assert isinstance(error, Unavailable)


def test_with_a_name_that_is_not_resolved_in_time_nothing_was_sent(
    portal_opener: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    lookups: list[tuple[object, ...]] = []
    real = socket.getaddrinfo

    def hang(*args: object, **kwargs: object) -> object:
        lookups.append(args)
        is_over.wait(300)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(answer(DONE))

    with server(behave) as portal:
        monkeypatch.setattr(socket, "getaddrinfo", hang)
        client = portal_opener(portal.url)
        assert isinstance(error_of(client), Unavailable)
        assert isinstance(error_of(client), Unavailable)
        assert len(lookups) == 1, "one lookup at a time"
        is_over.set()
        assert client.call(COMMANDS).results == {"u1": 1}


def dripping(text: bytes) -> Behave:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.drip(text)

    return behave


@pytest.mark.parametrize(
    "text",
    [
        answer(DONE + b" " * 1000),
        b"HTTP/1.1 200 OK" + b" " * 1000,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1000,
    ],
    ids=["body", "status", "header", "headers", "continue", "chunks"],
)
def test_a_slow_answer_ends_at_the_deadline(portal_opener: Open, text: bytes) -> None:
    with server(dripping(text)) as portal:
        assert may_still_run(error_of(portal_opener(portal.url)))


def test_a_slow_answer_over_tls_ends_at_the_deadline(
    portal_opener: Open, tls: ssl.SSLContext
) -> None:
    with server(dripping(answer(DONE + b" " * 1000)), tls) as portal:
        assert may_still_run(error_of(portal_opener(portal.url)))


def large(size: int) -> dict[str, Command]:
    return {"u1": Command("crm.item.add", {"title": "x" * size})}


def test_an_abandoned_request_is_not_delivered_later(portal_opener: Open) -> None:
    """A stuck portal must not run it when it continues."""
    given_up = threading.Event()
    received = []

    def behave(connection: Connection) -> None:
        given_up.wait(60)
        received.append(connection.read_request())

    with server(behave, receive_buffer=4096) as portal:
        with pytest.raises(OutcomeUnknown):
            portal_opener(portal.url).call(large(100_000))
        given_up.set()
    assert received == [], "it was reset"


def test_a_request_is_sent_soon_or_not_at_all(
    portal_opener: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timed_connection, "SEND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(portal_module, "READ_MARGIN_S", 30)
    began = time.monotonic()
    with (
        server(lambda connection: connection.ended.wait(), receive_buffer=4096) as portal,
        pytest.raises(OutcomeUnknown) as caught,
    ):
        portal_opener(portal.url).call(large(10_000_000))
    assert time.monotonic() - began < 25  # before the time for an answer, 31 s, is over
    assert caught.value.may_still_run


@pytest.mark.usefixtures("patient")
def test_a_call_that_is_late_after_connecting_sends_nothing(
    portal_opener: Open, tls: ssl.SSLContext
) -> None:
    received = []

    def behave(connection: Connection) -> None:
        while request := connection.read_request():
            received.append(request)
            connection.peer.sendall(answer(DONE))

    def slow_handshake(*_: object) -> None:
        time.sleep(0.3)

    tls.sni_callback = slow_handshake
    with server(behave, tls) as portal:
        client = portal_opener(portal.url)
        with pytest.raises(LeaseTooShort):
            client.call(COMMANDS, send_until=clock.now_s() + 0.1)
        assert client.call(COMMANDS, send_until=clock.now_s() + 60).results == {"u1": 1}
        with pytest.raises(LeaseTooShort):
            client.call(COMMANDS, send_until=clock.now_s() - 0.01)
        client.close()
    assert len(received) == 1


@pytest.mark.usefixtures("patient")
def test_a_connection_closed_while_idle_is_not_used_again(portal_opener: Open) -> None:
    closed = threading.Event()

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(answer(DONE))
        connection.peer.shutdown(socket.SHUT_RDWR)
        closed.set()

    with server(behave) as portal:
        client = portal_opener(portal.url)
        for _ in range(3):
            closed.clear()
            assert client.call(COMMANDS).results == {"u1": 1}
            assert closed.wait(60)
    assert portal.connections == 3


@pytest.mark.usefixtures("patient")
def test_a_second_answer_is_not_taken_for_the_next_one(portal_opener: Open) -> None:
    said = threading.Event()

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(answer(DONE) + answer(b'{"result": {"result": {"u1": 666}}}'))
        said.set()
        connection.read_request()
        connection.peer.sendall(answer(DONE))

    with server(behave) as portal:
        client = portal_opener(portal.url)
        assert client.call(COMMANDS).results == {"u1": 1}
        assert said.wait(60)
        assert client.call(COMMANDS).results == {"u1": 1}


@pytest.mark.usefixtures("patient")
def test_calls_of_several_threads_get_their_own_answers(portal_opener: Open) -> None:
    def behave(connection: Connection) -> None:
        while request := connection.read_request():
            number = request.rpartition(b"profile?n=")[2].partition(b'"')[0]
            connection.peer.sendall(answer(b'{"result": {"result": {"u1": %s}}}' % number))

    with server(behave) as portal, ThreadPoolExecutor(8) as threads:
        client = portal_opener(portal.url)

        def call(number: int) -> bool:
            answers = client.call({"u1": Command("profile", {"n": number})}).results
            return answers == {"u1": number}

        assert all(threads.map(call, range(400)))
        client.close()
    assert portal.connections <= 8


def chunked_response(size: bytes, text: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + size + b"\r\n" + text


LONG = DONE + b" " * MAX_RESPONSE_BYTES


@pytest.mark.parametrize(
    "text",
    [
        answer(LONG),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1" + b"0" * 30 + b"\r\n\r\n" + LONG,
        b"HTTP/1.1 200 OK\r\n\r\n" + LONG,
        chunked_response(b"%x" % len(LONG), LONG + b"\r\n0\r\n\r\n"),
        chunked_response(b"f" * 15, LONG),
        chunked_response(b"-1", LONG),
        chunked_response(b"-5", DONE),
        chunked_response(b"%x" % len(DONE), DONE),
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 2_000_000,
        answer(gzip.compress(LONG), headers=b"Content-Encoding: gzip\r\n"),
        answer(DONE, headers=b"Content-Encoding: gzip\r\n"),
    ],
    ids=[
        *("long", "huge", "no length", "chunk", "huge chunk", "chunk below 0", "odd chunk"),
        *("unfinished", "headers", "gzip bomb", "no gzip"),
    ],
)
def test_an_answer_that_is_too_long_or_malformed_leaves_the_outcome_unknown(
    portal_opener: Open, text: bytes
) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(text)

    with server(behave) as portal:
        assert may_still_run(error_of(portal_opener(portal.url)))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "text",
    [
        answer(gzip.compress(DONE), headers=b"Content-Encoding: gzip\r\n"),
        chunked_response(b"%x" % len(DONE), DONE + b"\r\n0\r\n\r\n"),
        b"HTTP/1.0 200 OK\r\n\r\n" + DONE,
        answer(DONE + b" " * (MAX_RESPONSE_BYTES // 2)),
    ],
    ids=["gzip", "chunks", "until closed", "5 MB"],
)
def test_an_answer_may_use_any_form_of_http(portal_opener: Open, text: bytes) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(text)

    with server(behave) as portal:
        assert portal_opener(portal.url).call(COMMANDS).results == {"u1": 1}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "line", [b"no colon\r\n", b": no name\r\n", b"\x00\xff\r\n", b" folded\r\n"]
)
def test_a_malformed_header_line_does_not_log_the_address(
    portal_opener: Open, caplog: pytest.LogCaptureFixture, line: bytes
) -> None:
    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(answer(DONE).replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n"))

    with caplog.at_level(logging.DEBUG), server(behave) as portal:
        assert portal_opener(portal.url).call(COMMANDS).results == {"u1": 1}
    assert SECRET not in caplog.text


HEADERS = st.one_of(
    st.just(b""),
    st.binary(max_size=20),
    st.builds(
        bytes.__add__,
        st.sampled_from([b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Location: "]),
        st.sampled_from([b"5", b"-1", b"0"]) | st.binary(max_size=20),
    ),
)
BYTES = st.binary(max_size=200) | st.builds(
    lambda headers, body: b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n" + body,
    HEADERS,
    st.binary(max_size=100) | st.just(DONE) | st.just(b"5\r\nabcde\r\n0\r\n\r\n"),
)


@pytest.mark.usefixtures("patient")
def test_any_bytes_are_an_answer_or_an_unknown_outcome() -> None:
    said: list[bytes] = []

    def behave(connection: Connection) -> None:
        connection.read_request()
        connection.peer.sendall(said[-1])

    with server(behave) as portal:

        @settings(max_examples=200, deadline=None)
        @given(BYTES)
        def check(text: bytes) -> None:
            said.append(text)
            client = PortalClient(portal.url)
            error = None
            try:
                assert client.call(COMMANDS).results.keys() == COMMANDS.keys()
            except BitrixError as raised:
                error = raised
            client.close()
            assert error is None or len(error.detail) <= 500
            assert not isinstance(error, Unavailable | Refused)

        check()
