"""The edge as an attacker sees it: a page in a browser, a neighbour, a slow client."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from leadline import process
from leadline.errors import Forbidden
from leadline.runtime.serving.drain import KEEP_ALIVE_S
from leadline.settings import settings
from local.gateway import __main__ as main
from local.gateway import app, front_page, proxy
from local.gateway.internal_key import require_internal_key
from tests.servers import eventually, exit_code_of, silent_listener
from tests.servers import free_port as find_free_port

OWN_KEY = "key-of-our-own-processes"
OTHER_KEY = "key-of-somebody-else"
PROBLEM = "application/problem+json"
INTERNAL = ("bitrix-handler", "reply-handler", "outbox-relay")
USER = b'{"full_name": "Ann", "phone": "+77001112233"}'


@dataclass
class Functions:
    """Every function at one address; records the requests that reach it."""

    url: str = ""
    calls: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                calls.append(f"{self.command} {self.path}")
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        for method in ("GET", "HEAD", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        return Handler


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    functions = Functions()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functions.handler())
    functions.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield functions
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Edge:
    """The real edge in front of those functions, with LEADLINE_AUTH=off."""

    url: str
    functions: Functions
    password: Path
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        kind = {} if method in {"GET", "HEAD"} else {"Content-Type": "application/json"}
        return requests.request(
            method, self.url + path, headers={**kind, **headers}, data=USER, timeout=60
        )

    def checked_status(self, method: str, path: str, **headers: str) -> int:
        """The status of the answer; checks that it is 200 exactly if a function was called."""
        before = len(self.functions.calls)
        status = self.ask(method, path, **headers).status_code
        assert (status == 200) == (len(self.functions.calls) > before)
        return status

    def request_line(self, correlation_id: str) -> dict[str, Any]:
        """The one log line of the request with this id."""

        def matching_lines() -> list[dict[str, Any]]:
            lines = map(json.loads, self.log.read_text(encoding="utf-8").splitlines())
            return [line for line in lines if line.get("correlation_id") == correlation_id]

        eventually(matching_lines, 60, "the request is logged")
        (line,) = matching_lines()
        return line


@pytest.fixture(scope="module")
def edge(functions: Functions, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("edge")
    names = ("create-user", "get-user", "list-users", "console", "openapi", *INTERNAL)
    config, secrets = folder / "edge.json", folder / "secrets"
    config.write_text(json.dumps({"functions": dict.fromkeys(names, functions.url)}))
    secrets.mkdir()
    (secrets / "api-keys").write_text(f"{OWN_KEY}\n{OTHER_KEY}\n")
    (secrets / "internal-key").write_text(OWN_KEY)
    gateway = {
        "platform": {"supervisor": str(folder / "none.sock"), "logs": str(folder)},
        "deployments": str(folder / "deployments"),
        "secrets": str(secrets),
        "password": str(folder / "password"),
    }
    port = find_free_port()
    log = folder / "edge.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.gateway"],
            stdout=output,
            env={
                **os.environ,
                "PORT": str(port),
                "LEADLINE_AUTH": "off",
                "LEADLINE_EDGE": str(config),
                "LEADLINE_GATEWAY": json.dumps(gateway),
                "LEADLINE_SECRETS_DIR": str(secrets),
                "ALLOWED_HOSTS": "leadline.example, Other.example",
            },
        )
    edge = Edge(f"http://127.0.0.1:{port}", functions, folder / "password", log)
    eventually(lambda: _listens(port), 60, "the edge listens")
    yield edge
    process.terminate()
    assert exit_code_of(process) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:3000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "192.168.1.7:3000",
    "0.0.0.0:3000",
    "169.254.169.254",
    "notlocalhost",
    "example",
    "",
    "evil.example:99999",
    "[::1",
    "[2001:db8::1]:3000",
    "127.0.0.1@evil.example",
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_host_name_reads_and_writes_nothing(edge: Edge, host: str) -> None:
    """With DNS rebinding, a page and our answer have the same origin."""
    for path in ("/users", "/users/1", "/healthz", "/console", "/system/functions", "/nothing"):
        assert edge.checked_status("GET", path, Host=host) == 421, path
    answer = edge.ask("POST", "/users", Host=host)
    assert (answer.status_code, answer.headers["Content-Type"]) == (421, PROBLEM)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:3000",
        "LOCALHOST",
        "leadline.localhost",
        "127.0.0.1:1",
        "127.9.9.9",
        "[::1]:3000",
        "leadline.example",
        "LEADLINE.example:443",
        "other.example",
    ],
)
def test_loopback_names_and_configured_ones_are_accepted(edge: Edge, host: str) -> None:
    assert edge.checked_status("GET", "/users", Host=host) == 200
    assert edge.checked_status("POST", "/users", Host=host) == 200


def test_a_request_has_one_host(edge: Edge) -> None:
    for head in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as connection:
            connection.sendall(f"GET /users HTTP/1.1\r\n{head}\r\n".encode())
            assert connection.recv(4096).split()[1] == b"400", head


def test_a_probe_without_host_over_http_1_0_is_accepted(edge: Edge) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(4096).split()[1] == b"200"


CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://127.0.0.1:9"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
]
WRITES = [
    ("POST", "/users"),
    ("PATCH", "/users/1"),
    ("POST", "/users/1/move"),
    *(("POST", f"/function/{name}") for name in ("create-user", "console", *INTERNAL)),
    ("POST", "/console/api/pause"),
    ("POST", "/system/functions"),
    ("PUT", "/system/secrets"),
    ("DELETE", "/system/functions"),
    ("POST", "/system/scale-function/get-user"),
]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_cross_site_page_writes_nothing(edge: Edge, headers: dict[str, str]) -> None:
    key = {"Authorization": f"Bearer {OWN_KEY}"}
    for method, path in WRITES:
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            sent = {**headers, **key, "Content-Type": kind}
            assert edge.checked_status(method, path, **sent) == 403, (path, kind)


def test_a_cross_site_page_reads_nothing_but_links_may_be_followed(edge: Edge) -> None:
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    assert edge.checked_status("GET", "/console", **link) == 200
    for other in ("iframe", "embed", "object"):
        assert edge.checked_status("GET", "/console", **{**link, "Sec-Fetch-Dest": other}) == 403
    for mode in ("no-cors", "cors", "websocket"):
        assert edge.checked_status("GET", "/users", **{**link, "Sec-Fetch-Mode": mode}) == 403
    assert edge.checked_status("GET", "/users", Origin="https://evil.example") == 403
    preflight = edge.ask("OPTIONS", "/users", Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert preflight.status_code == 403


def test_same_origin_pages_and_programs_may_write(edge: Edge) -> None:
    same_origin = {"Origin": edge.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    for headers in ({}, same_origin, {"Origin": edge.url}, {"Sec-Fetch-Site": "none"}):
        assert edge.checked_status("POST", "/users", **headers) == 200, headers
    # Behind a proxy listed in ALLOWED_HOSTS, which may use the edge's own address as the host.
    assert edge.checked_status("POST", "/users", Origin="https://leadline.example") == 200


@pytest.mark.parametrize("name", INTERNAL)
@pytest.mark.parametrize("suffix", ["", "/", "/x?y=1", ".openfaas-fn", ".openfaas-fn/_/health"])
def test_events_replies_and_ticks_need_the_internal_key(edge: Edge, name: str, suffix: str) -> None:
    """LEADLINE_AUTH=off opens all other functions to everyone on this machine."""
    path = f"/function/{name}{suffix}"
    for method in ("POST", "GET"):
        assert edge.checked_status(method, path) == 401
        for wrong in (OTHER_KEY, "", " ", f"{OWN_KEY}x", OWN_KEY[:-1]):
            status = edge.checked_status(method, path, Authorization=f"Bearer {wrong}")
            assert status == (403 if wrong.strip() else 401), wrong
        assert edge.checked_status(method, path, Authorization=f"Basic {OWN_KEY}") == 401
        assert edge.checked_status(method, path, Authorization=f"Bearer {OWN_KEY}") == 200
    assert edge.ask("POST", path).headers["Content-Type"] == PROBLEM


def test_without_an_internal_key_every_caller_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADLINE_SECRETS_DIR", str(tmp_path))
    for sent in ("Bearer x", "Bearer None"):
        with pytest.raises(Forbidden):
            require_internal_key(sent)


def test_an_empty_gateway_password_grants_no_access(edge: Edge) -> None:
    password = edge.password.read_text()
    assert len(password) >= 32
    assert edge.password.stat().st_mode & 0o077 == 0
    url = f"{edge.url}/system/secrets"
    assert requests.get(url, auth=("admin", password), timeout=60).status_code == 200
    for blank in ("", "\n", "  "):
        edge.password.write_text(blank)
        for sent in ("", blank, password):
            assert requests.get(url, auth=("admin", sent), timeout=60).status_code == 401
    edge.password.unlink()
    assert requests.get(url, auth=("admin", ""), timeout=60).status_code == 401
    edge.password.write_text(password)


def test_healthz_checks_the_components_once_a_second_for_all_callers(edge: Edge) -> None:
    before = len(edge.functions.calls)
    began = time.monotonic()
    for _ in range(20):
        headers = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
        assert requests.get(f"{edge.url}/healthz", headers=headers, timeout=60).status_code == 200
    seconds = time.monotonic() - began
    components = 8  # the functions of this edge
    assert len(edge.functions.calls) - before <= (2 + seconds) * components


def test_each_request_is_one_log_line(edge: Edge) -> None:
    edge.ask("POST", "/function/create-user/users?phone=%2B77001112233", **{"X-Call-Id": "made"})
    edge.ask("GET", "/users/+77001112233", **{"X-Call-Id": "by-phone"})
    edge.ask("DELETE", "/users", **{"X-Call-Id": "refused"})
    edge.ask("POST", "/function/outbox-relay", **{"X-Call-Id": "keyless"})
    line = edge.request_line("made")
    assert (line["level"], line["service"], line["event"]) == ("info", "edge", "request")
    assert (line["method"], line["path"]) == ("POST", "/function/create-user/users")
    assert (line["status"], line["function"]) == (200, "create-user")
    assert 0 < line["ms"] < 100_000
    assert edge.request_line("by-phone")["path"] == "/users/*"
    assert edge.request_line("refused")["status"] == 405
    assert edge.request_line("keyless")["status"] == 401
    assert "7700111" not in edge.log.read_text()


def test_the_log_names_the_id_that_a_call_without_one_gets(edge: Edge) -> None:
    call_id = edge.ask("GET", "/users").headers["X-Call-Id"]
    assert edge.request_line(call_id)["path"] == "/users"


def test_a_refusal_has_an_id_even_if_a_header_cannot_be_forwarded(edge: Edge) -> None:
    answer = edge.ask("GET", "/users", **{"X-Note": "\xff"})
    assert answer.status_code == 400
    assert edge.request_line(answer.headers["X-Call-Id"])["status"] == 400


def test_requests_of_any_form_are_logged_but_probes_are_not(edge: Edge) -> None:
    def log_lines() -> list[dict[str, Any]]:
        lines = map(json.loads, edge.log.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line.get("event") == "request"]

    edge.ask("GET", "/users", **{"X-Call-Id": "the last before"})
    edge.request_line("the last before")
    before = len(log_lines())
    assert edge.ask("GET", "/healthz").status_code == 200
    for sent in (b"NONSENSE", b"FOO /users/\xff HTTP/1.1\r\nHost: localhost\r\nX-Call-Id: \xff"):
        with socket.create_connection(("127.0.0.1", edge.port), timeout=60) as connection:
            connection.sendall(sent + b"\r\n\r\n")
            assert connection.recv(4096).split()[1].startswith(b"4")
    eventually(lambda: len(log_lines()) == before + 2, 60, "both are logged")
    assert [line["method"] for line in log_lines()[before:]] == ["other", "other"]


def test_the_front_page_links_to_what_the_edge_serves(edge: Edge) -> None:
    answer = requests.get(edge.url, timeout=60)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    links = re.findall(r'href="([^"]+)"', answer.text)
    assert links == ["/console", "/docs", "/openapi.json", "/healthz"]
    for link in links:
        assert requests.get(urljoin(edge.url, link), timeout=60).status_code == 200, link
    assert "no key" in answer.text


def test_with_keys_the_front_page_names_the_file_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "on")
    process.forget(settings)
    try:
        page = asyncio.run(front_page.handle(make_mocked_request("GET", "/"))).text
    finally:
        process.forget(settings)
    assert page
    assert "/var/openfaas/secrets/api-keys" in page


@pytest.mark.parametrize("sent", [b"", b"GET /users HTTP/1.1\r\nHost: localhost\r\nX-A: "])
def test_an_endless_request_head_times_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: Callable[[], int], sent: bytes
) -> None:
    monkeypatch.setattr(main, "_HEAD_WITHIN_S", 0.3)
    assert _answer_to_endless(monkeypatch, tmp_path, free_port(), sent) == b""


def test_an_endless_request_body_times_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    monkeypatch.setattr(proxy, "BODY_WITHIN_S", 0.3)
    head = b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    answer = _answer_to_endless(monkeypatch, tmp_path, free_port(), head)
    assert answer.startswith(b"HTTP/1.1 408 ")


def _answer_to_endless(
    monkeypatch: pytest.MonkeyPatch, folder: Path, port: int, sent: bytes
) -> bytes:
    """The edge's answer to a request that never ends: bytes follow one by one."""
    monkeypatch.setenv("PORT", str(port))
    config = folder / "edge.json"
    config.write_text('{"functions": {"create-user": "http://127.0.0.1:1"}}')

    async def ask() -> bytes:
        runner = web.AppRunner(app.build(config), shutdown_timeout=0.1)
        await runner.setup()
        listener = await main._listen(runner.server)  # noqa: SLF001
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = asyncio.create_task(reader.read(4096))
        writer.write(sent)
        while not answer.done():
            writer.write(b"x" if sent else b"")
            await asyncio.wait([answer], timeout=0.1)
        writer.close()
        listener.close()
        await runner.cleanup()
        return await answer

    return asyncio.run(asyncio.wait_for(ask(), 60))


def test_a_function_that_got_the_address_of_another_one_gets_none_of_its_requests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """In an upgrade under compose a new container may get the address of a removed one."""
    port = free_port()
    config = tmp_path / "edge.json"
    config.write_text(json.dumps({"functions": {"create-user": f"http://create-user:{port}"}}))
    address = "127.0.0.1"
    resolve = socket.getaddrinfo

    def resolve_function(host: str, *args: Any, **options: Any) -> Any:
        return resolve(address if host == "create-user" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_function)

    async def create_behind_function() -> list[str]:
        nonlocal address
        async with TestClient(TestServer(app.build(config))) as client:

            async def create() -> str:
                async with client.post("/users", json={}) as answer:
                    return await answer.text()

            async with _function("create-user", "127.0.0.1", port):
                before = await create()
            address = "127.0.0.2"
            async with (
                _function("update-user", "127.0.0.1", port),
                _function("create-user, replaced", "127.0.0.2", port),
            ):
                return [before, await create()]

    assert asyncio.run(create_behind_function()) == ["create-user", "create-user, replaced"]


def test_a_request_waits_for_a_function_at_an_address_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Packets to a removed container are dropped: no connection is refused."""

    async def ask(config: Path) -> int:
        async with (
            TestClient(TestServer(app.build(config))) as client,
            client.post("/users", json={}) as answer,
        ):
            return answer.status

    async def ask_before_and_during_restart(
        listener: socket.socket, config: Path
    ) -> tuple[int, int]:
        """The status if the function is not back in time, and if it is."""
        monkeypatch.setattr(proxy, "RESTART_S", 0.5)
        refused = await ask(config)
        monkeypatch.setattr(proxy, "RESTART_S", 60.0)
        waiting = asyncio.create_task(ask(config))
        await asyncio.sleep(0.5)
        port = listener.getsockname()[1]
        listener.close()
        async with _function("create-user", "127.0.0.1", port):
            return refused, await waiting

    with silent_listener() as listener:
        config = tmp_path / "edge.json"
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config.write_text(json.dumps({"functions": {"create-user": url}}))
        assert asyncio.run(ask_before_and_during_restart(listener, config)) == (503, 200)


def test_the_edge_reuses_no_connection_that_a_stopping_function_closes(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    """A function outlasts idle connections by KEEP_ALIVE_S; a write on a closed one is lost."""
    config = tmp_path / "edge.json"
    port = free_port()
    config.write_text(json.dumps({"functions": {"create-user": f"http://127.0.0.1:{port}"}}))

    async def connections() -> list[Any]:
        connections = []

        async def answer(request: web.Request) -> web.Response:
            assert request.transport
            connections.append(request.transport.get_extra_info("peername"))
            return web.Response()

        async with (
            _served(answer, "127.0.0.1", port),
            TestClient(TestServer(app.build(config))) as client,
        ):
            for _ in range(2):
                await client.post("/users", json={})
                await asyncio.sleep(KEEP_ALIVE_S * 1.01)
        return connections

    first, second = asyncio.run(connections())
    assert first != second


@asynccontextmanager
async def _function(name: str, address: str, port: int) -> AsyncIterator[None]:
    """A function that answers every request with its name."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=name)

    async with _served(answer, address, port):
        yield


@asynccontextmanager
async def _served(
    answer: Callable[[web.Request], Awaitable[web.Response]], address: str, port: int
) -> AsyncIterator[None]:
    """A server whose every request gets this answer."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    try:
        yield
    finally:
        await runner.cleanup()
