"""A function is served in its own process, even while the servers it depends on are down."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import IO

import pika
import psutil
import pytest
import requests

from leadline.messages import topology
from leadline.runtime.serving import cold_start, rsgi_bridge, serve
from leadline.runtime.serving.drain import KEEP_ALIVE_S, refuse_connections
from tests.forks import Fork, Forks
from tests.servers import eventually, exit_code_of
from tests.servers import free_port as find_free_port
from tests.stopping import count_unanswered

CHECKOUT = Path(__file__).parents[2]
UNREACHABLE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "AMQP_URL": "amqp://127.0.0.1:1/",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
ANN = {"full_name": "Ann", "phone": "+77001112233"}
#: Bytes of a request's body, by default.
BODY_LIMIT = 64 * 1024
#: API keys.
OLD, NEW, NEWEST = (f"{age}-key-of-the-tests-of-128-bits" for age in ("old", "new", "newest"))

Start = Callable[..., "FunctionServer"]


class FunctionServer:
    """A process that serves one function: a fork, or started by Python if no `forks` are given."""

    def __init__(
        self,
        folder: str,
        port: int,
        env: dict[str, str],
        output: IO[str] | None = None,
        forks: Forks | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        module = "leadline.runtime.serving.serve"
        env = {**os.environ, **UNREACHABLE, "PORT": str(port), **env}
        stdout, stderr = subprocess.DEVNULL, 2  # 2: the standard error of the test's own process
        if output is not None:
            stdout = stderr = output.fileno()
        self.process: subprocess.Popen[bytes] | Fork
        if forks is not None:
            self.process = forks.start(module, folder, env=env, stdout=stdout, stderr=stderr)
        else:
            command = [sys.executable, "-m", module, folder]
            self.process = subprocess.Popen(
                command, cwd=CHECKOUT, env=env, stdout=stdout, stderr=stderr
            )

    def is_up(self) -> bool:
        try:
            return requests.get(f"{self.url}/_/health", timeout=60).ok
        except requests.ConnectionError:
            return False


@pytest.fixture
def start(free_port: Callable[[], int], forks: Forks) -> Iterator[Start]:
    """Starts to serve a function, without waiting."""
    started: list[FunctionServer] = []

    def run(name: str, output: IO[str] | None = None, **env: str) -> FunctionServer:
        env = {"LEADLINE_AUTH": "off", **env}
        server = FunctionServer(f"functions/{name}", free_port(), env, output, forks)
        started.append(server)
        return server

    yield run
    for server in started:
        server.process.terminate()
        try:
            server.process.wait(60)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(60)


@pytest.fixture(scope="module")
def create_user() -> Iterator[FunctionServer]:
    """The function create_user, without any server that it depends on."""
    server = FunctionServer("functions/create_user", find_free_port(), {"LEADLINE_AUTH": "off"})
    eventually(server.is_up, 60, "the function is served")
    yield server
    server.process.terminate()
    assert exit_code_of(server.process) == 0


def assert_problem(answer: requests.Response, status: int) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.parametrize("probe", ["/_/health", "/_/ready"])
def test_probes_are_answered_while_every_server_is_down(
    create_user: FunctionServer, probe: str
) -> None:
    assert requests.get(create_user.url + probe, timeout=60).text == "ok"
    head = requests.head(create_user.url + probe, timeout=60)
    assert (head.status_code, head.content) == (200, b"")


def test_a_write_without_a_database_gets_a_503_with_retry_after(
    create_user: FunctionServer,
) -> None:
    answer = requests.post(create_user.url, json=ANN, timeout=60)
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def test_a_body_over_the_limit_gets_a_413_even_without_a_content_length(
    create_user: FunctionServer,
) -> None:
    too_large = b" " * (BODY_LIMIT + 1)
    json_type = {"Content-Type": "application/json"}
    answer = requests.post(create_user.url, data=too_large, headers=json_type, timeout=60)
    assert_problem(answer, 413)
    chunked = requests.post(create_user.url, data=iter([too_large]), headers=json_type, timeout=60)
    assert_problem(chunked, 413)
    fits = requests.post(create_user.url, data=iter([b"{}"]), headers=json_type, timeout=60)
    assert_problem(fits, 422)


def test_only_a_batch_may_be_larger_up_to_its_own_limit(start: Start) -> None:
    server = start("upsert_users")
    eventually(server.is_up, 60, "the function is served")
    batch_limit = 1024 * 1024

    def status(method: str, path: str, size: int, *, is_chunked: bool = False) -> int:
        body = b'{"users": [{}]}'.ljust(size)
        data = iter([body]) if is_chunked else body
        headers = {"Content-Type": "application/json"}
        return requests.request(
            method, f"{server.url}{path}", data=data, headers=headers, timeout=60
        ).status_code

    for path in ("/users/batch", "/batch", "/function/upsert-users/users/batch"):
        for is_chunked in (False, True):
            assert status("POST", path, batch_limit, is_chunked=is_chunked) == 503, "no Postgres"
            assert status("POST", path, batch_limit + 1, is_chunked=is_chunked) == 413, path
    for method, path in (
        ("PUT", "/users/by-external-id/batch"),
        ("POST", "/"),
        ("POST", "/users/batch/1"),
    ):
        assert status(method, path, BODY_LIMIT + 1) == 413, path
        assert status(method, path, BODY_LIMIT) != 413, path


HEAD = b"POST /users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#: Slow clients: how each begins, what it sends each half second, and how long it may take.
SLOW_CLIENTS = {
    "nothing": (b"", b"", serve.HEAD_TIMEOUT_S),
    "a head": (HEAD + b"X-A: ", b"a", serve.HEAD_TIMEOUT_S),
    "a body": (HEAD + b"Content-Length: 60000\r\n\r\n", b" ", rsgi_bridge.BODY_TIMEOUT_S),
    "a chunked body": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
        rsgi_bridge.BODY_TIMEOUT_S,
    ),
}


def _request_slowly(
    server: FunctionServer, begin: bytes, more: bytes, within_s: float
) -> bytes | None:
    """The answer to a slow client until it is disconnected; None if that takes too long."""
    answer = b""
    until = time.monotonic() + within_s + 60
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.5) as client:
        client.sendall(begin)
        while time.monotonic() < until:
            try:
                received = client.recv(4096)
                if not received:
                    return answer
                answer += received
            except TimeoutError:
                client.sendall(more)
            except ConnectionError:
                return answer
    return None


@pytest.mark.slow("the time-out of a request's head is 30 s")
def test_a_slow_client_is_disconnected(create_user: FunctionServer) -> None:
    with ThreadPoolExecutor(len(SLOW_CLIENTS)) as pool:
        clients = {
            name: pool.submit(_request_slowly, create_user, *client)
            for name, client in SLOW_CLIENTS.items()
        }
        answers = {name: future.result() for name, future in clients.items()}
    assert (answers["nothing"], answers["a head"]) == (b"", b"")
    for name in ("a body", "a chunked body"):
        assert (answers[name] or b"").startswith(b"HTTP/1.1 408 "), name
        assert b"application/problem+json" in (answers[name] or b"")


def _answer_to(server: FunctionServer, head: bytes) -> bytes:
    """The status line of the answer, b"" if the connection was closed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(head)
        with contextlib.suppress(ConnectionError):
            return client.recv(4096).partition(b"\r\n")[0]
    return b""


def test_request_heads_and_queries_are_bounded(create_user: FunctionServer) -> None:
    for size, status in ((20_000, b"405"), (60_000, b"431")):
        query = b"GET /users?a=%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"a" * size)
        header = b"GET /users HTTP/1.1\r\nHost: localhost\r\nX-A: %s\r\n\r\n" % (b"a" * size)
        for head in (query, header):
            assert _answer_to(create_user, head).split()[1] == status


def test_http_2_is_not_supported(create_user: FunctionServer) -> None:
    """One connection could carry any number of requests."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4" + b"\0" * 5
    assert _answer_to(create_user, preface) in {b"", b"HTTP/1.1 400 Bad Request"}


def test_connections_are_bounded(start: Start) -> None:
    server = start("openapi")
    eventually(server.is_up, 60, "the function is served")
    address = ("127.0.0.1", server.port)
    with contextlib.ExitStack() as stack:
        for _ in range(serve.MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(address, timeout=60))
        waiting = stack.enter_context(socket.create_connection(address, timeout=1))
        waiting.sendall(b"GET /_/health HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            waiting.recv(1)
    eventually(server.is_up, 60, "with the others closed it serves again")


def test_an_answer_to_a_bad_request_stays_small(create_user: FunctionServer) -> None:
    names = {
        "many": [f"field-{number}" for number in range(3000)],
        "long": ["x" * 60_000],
        "escaped": ["\0" * 500 + str(number) for number in range(10)],
        "Cyrillic": ["ы" * 3000 + str(number) for number in range(9)],
    }
    for name, unknown in names.items():
        body = json.dumps(dict.fromkeys(unknown, 1), ensure_ascii=name != "Cyrillic").encode()
        answer = requests.post(
            create_user.url, data=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        assert_problem(answer, 422)
        assert len(answer.content) <= 8000, name
        problem = answer.json()
        missing = {"full_name", "phone"}
        assert missing <= {error["field"] for error in problem["errors"]}, name
        left = len(unknown) + len(missing) - len(problem["errors"])
        assert (f"{left} more are not listed" in problem["detail"]) == (left > 0), name


def test_a_function_does_not_start_with_a_cleartext_server(start: Start, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with output.open("w", encoding="utf-8") as file:
        url = "postgresql://u:hunter2hunter2@db.example.com/d"
        server = start("create_user", DATABASE_URL=url, output=file)
        assert exit_code_of(server.process) != 0
    text = output.read_text(encoding="utf-8")
    assert "LEADLINE_CLEARTEXT" in text
    assert "hunter2" not in text


def test_a_body_that_is_not_json_gets_a_415_and_malformed_json_a_400(
    create_user: FunctionServer,
) -> None:
    assert_problem(requests.post(create_user.url, data={"a": "b"}, timeout=60), 415)
    assert_problem(requests.post(create_user.url, data=b"{}", timeout=60), 415)
    too_deep = (b"[" * 60_000, b'{"a":' * 9000 + b"1" + b"}" * 9000, b"[" * 300 + b"]" * 300)
    for body in (b"", b"{", b"\xff", b'{"full_name": "\\ud800"}', *too_deep):
        answer = requests.post(
            create_user.url, data=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        assert_problem(answer, 400)


def test_a_422_lists_its_fields_without_their_values(create_user: FunctionServer) -> None:
    answer = requests.post(create_user.url, json={"full_name": " Ivanka", "id": 1}, timeout=60)
    assert_problem(answer, 422)
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"phone", "id"}
    assert "Ivanka" not in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_another_method_gets_a_405_with_allow(create_user: FunctionServer, method: str) -> None:
    answer = requests.request(method, create_user.url, timeout=60)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


def test_an_unknown_method_is_not_a_server_error(create_user: FunctionServer) -> None:
    for method in ("BREW", "TRACE", "PROPFIND"):
        answer = requests.request(method, create_user.url, timeout=60)
        assert 400 <= answer.status_code <= 501
        assert answer.status_code != 500


def test_an_unknown_path_gets_a_404(create_user: FunctionServer) -> None:
    for path in ("/other", "/users/1", "/function/create-user/x", "/../etc/passwd"):
        assert requests.post(create_user.url + path, json=ANN, timeout=60).status_code == 404, path


@pytest.mark.parametrize(
    "path",
    ["/users", "/users/", "/function/create-user", "/function/create-user/users"],
)
def test_the_path_may_have_a_prefix(create_user: FunctionServer, path: str) -> None:
    assert_problem(requests.post(create_user.url + path, json=ANN, timeout=60), 503)


CROSS_SITE = [
    {"Host": "evil.example"},
    {"Host": "create-user"},
    {"Host": "127.0.0.1.evil.example:8080"},
    {"Host": ""},
    {"Host": "a b"},
    {"Host": "192.168.1.7"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_without_keys_a_cross_site_page_cannot_use_a_function(
    create_user: FunctionServer, headers: dict[str, str]
) -> None:
    """A page may guess the port: cross-site request forgery, DNS rebinding."""
    status = 421 if "Host" in headers else 403
    for method in ("POST", "GET", "OPTIONS"):
        answer = requests.request(method, create_user.url, json=ANN, headers=headers, timeout=60)
        assert_problem(answer, status)
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_without_keys_a_function_accepts_one_host(create_user: FunctionServer) -> None:
    head = b"POST /users HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
    with socket.create_connection(("127.0.0.1", create_user.port), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(4096).split()[1] == b"421"


@pytest.mark.parametrize("others", [b"", b"X-A: 1\r\nX-A: 2\r\nX-B: 1\r\nX-B: 2\r\n"])
def test_without_keys_a_non_ascii_origin_counts_as_an_origin(
    create_user: FunctionServer, others: bytes
) -> None:
    """The server passes such a header on without its value, among any other headers."""
    head = HEAD + others + b"Origin: http://\xe9vil.example\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", create_user.port), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(4096).split()[1] == b"403"


def test_without_keys_programs_and_same_origin_pages_may_use_a_function(start: Start) -> None:
    server = start("create_user", ALLOWED_HOSTS="leadline.example, .svc.cluster.local")
    eventually(server.is_up, 60, "the function is served")
    same_origin = {"Host": "localhost:3000", "Origin": "http://localhost:3000"}
    accepted: tuple[dict[str, str], ...] = (
        {},
        same_origin,
        {**same_origin, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Host": "leadline.example"},
        {"Host": "create-user.leadline.svc.cluster.local"},
    )
    for headers in accepted:
        answer = requests.post(server.url, json=ANN, headers=headers, timeout=60)
        assert_problem(answer, 503)
    answer = requests.post(server.url, json=ANN, headers={"Host": "svc.cluster.local"}, timeout=60)
    assert_problem(answer, 421)


def test_with_keys_a_function_accepts_any_host(start: Start, tmp_path: Path) -> None:
    """Gateways use their own host names, and pages have no key to send."""
    (tmp_path / "api-keys").write_text(OLD)
    server = start("create_user", LEADLINE_AUTH="on", LEADLINE_SECRETS_DIR=str(tmp_path))
    eventually(server.is_up, 60, "the function is served")
    headers = {"Host": "users.example", "Sec-Fetch-Site": "cross-site"}
    assert requests.post(server.url, json=ANN, headers=headers, timeout=60).status_code == 401
    headers["Authorization"] = f"Bearer {OLD}"
    assert requests.post(server.url, json=ANN, headers=headers, timeout=60).status_code == 503


def test_without_keys_a_function_does_not_start(start: Start) -> None:
    for auth in ({"LEADLINE_AUTH": "on"}, {"LEADLINE_AUTH": "perhaps"}):
        server = start("create_user", LEADLINE_SECRETS_DIR="/nowhere", **auth)
        assert exit_code_of(server.process) != 0


def test_requests_need_a_key(start: Start, tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text(f"{OLD}\n{NEW}\n")
    server = start("create_user", LEADLINE_AUTH="on", LEADLINE_SECRETS_DIR=str(tmp_path))
    eventually(server.is_up, 60, "the function is served")

    def status(**headers: str) -> int:
        return requests.post(server.url, json=ANN, headers=headers, timeout=60).status_code

    assert status() == 401
    assert status(Authorization="Bearer wrong") == 403
    assert status(Authorization=f"Bearer {NEW}") == status(Authorization=f"bearer {OLD}") == 503
    (tmp_path / "api-keys").write_text(f"{NEWEST}\n")
    assert status(Authorization=f"Bearer {OLD}") == 403
    assert status(Authorization=f"Bearer {NEWEST}") == 503


@pytest.mark.slow("starts a process for each function")
def test_internal_functions_accept_only_the_internal_key(start: Start, tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text(f"read,write,operate:{OLD}\n")
    (tmp_path / "internal-key").write_text(NEW)
    env = {"LEADLINE_AUTH": "on", "LEADLINE_SECRETS_DIR": str(tmp_path)}
    for name in ("bitrix_handler", "reply_handler", "outbox_relay"):
        server = start(name, **env)
        eventually(server.is_up, 60, "the function is served")
        for method in ("POST", "GET"):
            statuses = [
                requests.request(
                    method, server.url, json={}, headers={"Authorization": header}, timeout=60
                ).status_code
                for header in (None, f"Bearer {OLD}", f"Bearer {NEW}")
            ]
            assert statuses[:2] == [401, 403], (name, method)
            assert statuses[2] not in {401, 403}, (name, method)


def test_a_key_for_metrics_does_not_read_the_contents_of_messages(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "api-keys").write_text(f"read:{OLD}\noperate,read:{NEW}\n")
    server = start("console", LEADLINE_AUTH="on", LEADLINE_SECRETS_DIR=str(tmp_path))
    eventually(server.is_up, 60, "the function is served")

    def status(path: str, key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return requests.get(f"{server.url}/{path}", headers=headers, timeout=60).status_code

    assert status("api/dead-letters", OLD) == 503  # RabbitMQ is down
    assert status("api/dead-letters/0123456789ab", OLD) == 403
    assert status("api/dead-letters/0123456789ab", NEW) == 503


@pytest.mark.parametrize("key", ["hunter2", "short-key", "k" * 64])
@pytest.mark.parametrize(
    ("name", "secret"), [("create_user", "api-keys"), ("bitrix_handler", "internal-key")]
)
def test_a_weak_key_prevents_startup(
    start: Start, tmp_path: Path, name: str, secret: str, key: str
) -> None:
    (tmp_path / secret).write_text(key)
    server = start(name, LEADLINE_AUTH="on", LEADLINE_SECRETS_DIR=str(tmp_path))
    assert exit_code_of(server.process) != 0


def test_guessing_keys_does_not_slow_down_other_callers(start: Start, tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text(OLD)
    server = start("openapi", LEADLINE_AUTH="on", LEADLINE_SECRETS_DIR=str(tmp_path))
    eventually(server.is_up, 60, "the function is served")
    is_over = threading.Event()
    guesses = Counter[int]()
    refused_s: list[float] = []

    def timed_request(method: str, key: str) -> tuple[float, int]:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {key}"}
        answer = requests.request(method, server.url, headers=headers, timeout=60)
        return time.monotonic() - began, answer.status_code

    def guess(number: int) -> None:
        while not is_over.is_set():
            seconds, status = timed_request("POST", f"{number}-{NEW}")
            guesses[status] += 1
            if status == 429:
                refused_s.append(seconds)
            time.sleep(0.05)

    attackers = [threading.Thread(target=guess, args=(number,)) for number in range(30)]
    for attacker in attackers:
        attacker.start()
    # The first wrong keys are refused at once, the next ones after a second, all others with 429.
    eventually(lambda: guesses[429], 60, "guesses are refused")
    began, before = time.monotonic(), guesses[403]
    answers = [timed_request("POST", OLD) for _ in range(50)]
    while time.monotonic() - began < 2:  # long enough for some further guesses
        time.sleep(0.1)
    lasted, guessed = time.monotonic() - began, guesses[403] - before
    is_over.set()
    for attacker in attackers:
        attacker.join()
    assert {status for _, status in answers} == {405}
    # A right key does not wait: it takes about as long on this machine as a refusal at once.
    assert median(seconds for seconds, _ in answers) < 10 * median(refused_s)
    assert set(guesses) == {403, 429}
    # Each second one guess is answered at once, and two that have waited for a second: a quarter of
    # THREADS may wait. Three seconds more, as some are counted late.
    assert guessed <= 3 * (lasted + 3)


def test_a_key_over_its_rate_gets_a_retry_after(start: Start, tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text(f"{OLD}\n{NEW}\n")
    limits = {"LEADLINE_WRITE_RATE_PER_S": "0.05", "LEADLINE_WRITE_BURST": "3"}
    server = start("create_user", LEADLINE_AUTH="on", LEADLINE_SECRETS_DIR=str(tmp_path), **limits)
    eventually(server.is_up, 60, "the function is served")

    def post(key: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return requests.post(server.url, json=ANN, headers=headers, timeout=60)

    assert [post("wrong").status_code for _ in range(5)] == [403] * 5
    assert [post(OLD).status_code for _ in range(3)] == [503] * 3
    refused = post(OLD)
    assert_problem(refused, 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert post(NEW).status_code == 503


def test_server_and_worker_import_once_and_nothing_unused(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    output = tmp_path / "imports"
    with output.open("w", encoding="utf-8") as file:
        env = {"LEADLINE_AUTH": "off", "PYTHONPROFILEIMPORTTIME": "1"}
        server = FunctionServer("functions/create_user", free_port(), env, file)
        eventually(server.is_up, 60, "the function is served")
        server.process.terminate()
        exit_code_of(server.process)
    lines = output.read_text(encoding="utf-8").splitlines()
    imports = Counter(line.rpartition("|")[2].strip() for line in lines)
    assert imports["flask"] == imports["pydantic"] == imports["leadline.ledger.accept"] == 1
    # An import may have been tried in vain: only a package's modules prove that it was loaded.
    prefixes = tuple(f"{name}." for name in (*cold_start.UNUSED, cold_start.TRACES))
    assert not [name for name in imports if name.startswith(prefixes)]


def test_sigterm_finishes_the_request_in_flight(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as database:  # accepts and never answers
        url = f"postgresql://nobody@127.0.0.1:{database.getsockname()[1]}/none"
        server = start("create_user", DATABASE_URL=url)
        eventually(server.is_up, 60, "the function is served")
        statuses: list[int] = []

        def post() -> None:
            statuses.append(requests.post(server.url, json=ANN, timeout=60).status_code)

        thread = threading.Thread(target=post)
        thread.start()
        waiting, _ = database.accept()
        server.process.send_signal(signal.SIGTERM)
        thread.join(60)
        waiting.close()
    assert statuses == [503]
    assert exit_code_of(server.process) == 0


def test_after_sigterm_a_connection_closes_only_with_a_response(start: Start) -> None:
    """A client can't repeat a write on a connection that was closed when the write arrived."""
    server = start("create_user")
    eventually(server.is_up, 60, "the function is served")
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:

        def post() -> str | None:
            client.request("POST", "/", json.dumps(ANN), {"Content-Type": "application/json"})
            answer = client.getresponse()
            assert (answer.status, answer.read() != b"") == (503, True)
            return answer.headers["Connection"]

        assert post() is None
        server.process.terminate()
        time.sleep(KEEP_ALIVE_S / 5)  # time in which a server could close the idle connection
        while post() != "close":
            pass  # the signal has not arrived yet
    assert exit_code_of(server.process) == 0


def test_a_stopping_function_answers_on_every_connection_that_was_accepted(start: Start) -> None:
    server = start("create_user")
    eventually(server.is_up, 60, "the function is served")
    assert count_unanswered(server.port, "/_/health", server.process.terminate) == 0
    assert exit_code_of(server.process) == 0


def test_only_the_port_that_is_closed_accepts_no_connection() -> None:
    """A process may have inherited the listening sockets of another, which goes on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as closed,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(closed.getsockname()) as accepted,
    ):
        open_files = psutil.Process().num_fds()
        refuse_connections(closed.getsockname()[1])
        assert psutil.Process().num_fds() <= open_files
        with pytest.raises(TimeoutError):
            socket.create_connection(closed.getsockname(), timeout=0.3)
        socket.create_connection(other.getsockname(), timeout=60).close()
        served, _ = closed.accept()
        with served:
            accepted.sendall(b"request")
            assert served.recv(7) == b"request"


def test_sigterm_leaves_nothing_unpublished(start: Start, database_url: str, amqp_url: str) -> None:
    server = start("create_user", DATABASE_URL=database_url, AMQP_URL=amqp_url)
    eventually(server.is_up, 60, "the function is served")
    # The first event has to wait for a connection to the broker.
    assert requests.post(server.url, json=ANN, timeout=60).status_code == HTTPStatus.CREATED
    server.process.terminate()
    assert exit_code_of(server.process) == 0
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        assert connection.channel().queue_purge(topology.REQUESTS).method.message_count == 1


def test_a_function_is_served_by_the_process_that_was_started(create_user: FunctionServer) -> None:
    """A killed parent would leave an orphan that answers requests for the next server."""
    assert psutil.Process(create_user.process.pid).children(recursive=True) == []


def test_the_relay_does_not_run_on_a_get(start: Start) -> None:
    """Any link, image or preview sends a GET."""
    server = start("outbox_relay")
    eventually(server.is_up, 60, "the function is served")
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = requests.request(method, server.url, timeout=60)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST"), method


@pytest.mark.parametrize("name", ["bitrix_handler", "reply_handler", "create_user"])
def test_a_request_that_any_page_can_send_is_neither_a_message_nor_a_user(
    start: Start, name: str
) -> None:
    server = start(name)
    eventually(server.is_up, 60, "the function is served")
    forged = b'{"action": "create_card", "user": {"id": 1, "full_name": "Ann"}, "replyQueue": "x"}'
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers in ({"Content-Type": "text/plain"}, form, {}):
        answer = requests.post(server.url, data=forged, headers=headers, timeout=60)
        assert_problem(answer, 415)
