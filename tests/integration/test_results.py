"""Results: each reaches every endpoint at least once, in order for each user."""

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pika
import pytest

from leadline import process
from leadline.ledger import settle, write
from leadline.ledger.erasure import tombstone
from leadline.ledger.event import Event
from leadline.ledger.resync import resync_events
from leadline.ledger.resync.resync_events import ResyncRequest
from leadline.ledger.settle import ReceivedReply
from leadline.messages.contract import Reply
from leadline.operations import gauges
from leadline.results import collect, deliveries, endpoints, http_sender, tick
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.telemetry import metrics
from leadline.settings import settings
from leadline.users.model import Changes, NewUser
from tests.integration.conftest import CommandOutput, execute, function_client, in_threads, rows
from tests.servers import postgres_connection

pytestmark = pytest.mark.usefixtures("in_postgres")

KEY = base64.b64encode(b"k" * 32).decode()
NAME, PHONE = "Ann Example", "+77001112233"


@dataclass
class Receiver:
    """An endpoint that records the results delivered to it."""

    url: str = ""
    #: The status of its answers, by user or for all others.
    status_of: dict[int, int] = field(default_factory=dict)
    status: int = 200
    #: How long it takes to answer, and the headers of its answers.
    wait_s: float = 0
    headers: dict[str, str] = field(default_factory=dict)
    #: The results that it has answered with 2xx, each with its type.
    accepted: list[dict[str, Any]] = field(default_factory=list)
    #: Headers and body of every delivery.
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def entry(self, name: str, kinds: str = "") -> str:
        """The entry that configures this endpoint for these kinds of results, or the default."""
        return f"{name} {self.url} whsec_{KEY} {kinds}".strip()

    def versions(self, user_id: int) -> list[int]:
        """The versions of the user's accepted results, in order."""
        return [result["version"] for result in self.accepted if result["user_id"] == user_id]


def _serve(receiver: Receiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append((headers, body))
            result = orjson.loads(body)
            status = receiver.status_of.get(result["data"]["user_id"], receiver.status)
            if status < 300:
                receiver.accepted.append({**result["data"], "type": result["type"]})
            time.sleep(receiver.wait_s)
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def start_receiver() -> Iterator[Callable[[], Receiver]]:
    """Starts one more endpoint."""
    servers: list[ThreadingHTTPServer] = []

    def start() -> Receiver:
        receiver = Receiver()
        servers.append(_serve(receiver))
        return receiver

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def receiver(start_receiver: Callable[[], Receiver]) -> Receiver:
    return start_receiver()


@pytest.fixture
def use_endpoints(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Configures these endpoints; results are collected from then on."""

    def configure(*entries: str) -> None:
        monkeypatch.setenv("RESULT_ENDPOINTS", "\n".join(entries))
        tick.run()

    return configure


def create() -> Event:
    return write.create(NewUser(full_name=NAME, phone=PHONE), key=None).event


def change(event: Event, name: str) -> Event:
    return write.change(
        event.user.id, Changes(full_name=name), expected_version=None, key=None
    ).event


def record_reply(event: Event, **outcome: Any) -> None:
    """Record the reply to an event, so that there is a result to deliver."""
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    settle.apply([ReceivedReply(Reply(**fields, attempts=1, **outcome))])


def record_success(event: Event) -> None:
    """Record that the event succeeded; the lead of user 1 is 456, that of user 2 is 457, ..."""
    record_reply(event, status="success", bitrix_lead_id=455 + event.user.id)


def record_failure(event: Event, reason: str = "no") -> None:
    record_reply(event, status="error", reason=reason)


def make_due() -> None:
    """Make every endpoint and every result due now."""
    execute("UPDATE result_endpoints SET retry_at = now()")
    execute("UPDATE result_deliveries SET due_at = now() WHERE due_at IS NOT NULL")


def test_an_endpoint_gets_each_outcome_signed(
    receiver: Receiver, use_endpoints: Callable[..., None]
) -> None:
    use_endpoints(receiver.entry("crm"))
    event = create()
    record_success(event)
    record_failure(change(event, "Ann B"), "Field X is required")
    for _ in range(2):  # a user's second result follows when the first is accepted
        tick.run()
    assert receiver.accepted == [
        {"type": "user.synced", "user_id": 1, "external_id": None, "version": 1,
         "status": "synced", "reason": None,
         "bitrix_lead_id": 456, "erased": False, "event_id": event.id},
        {**receiver.accepted[1], "type": "user.failed", "version": 2, "status": "failed",
         "reason": "Field X is required"},
    ]  # fmt: skip
    headers, body = receiver.requests[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = hmac.digest(b"k" * 32, signed, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 300


def test_a_result_names_the_callers_own_id(
    receiver: Receiver, use_endpoints: Callable[..., None]
) -> None:
    use_endpoints(receiver.entry("crm"))
    event = create()
    write.change(event.user.id, Changes(external_id="crm-4711"), expected_version=None, key=None)
    record_success(event)
    tick.run()
    assert receiver.accepted[0]["external_id"] == "crm-4711"


def test_nothing_is_stored_without_endpoints(in_rabbitmq: str, in_redis: str,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    assert in_rabbitmq
    assert in_redis
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    process.forget(settings)
    record_success(create())
    assert function_client("outbox_relay").post("/").status_code == 200
    assert rows("SELECT FROM results UNION ALL SELECT FROM results_cursor") == []


def test_the_relay_delivers_results_to_the_endpoints(
    receiver: Receiver, use_endpoints: Callable[..., None], in_rabbitmq: str, in_redis: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert in_rabbitmq
    assert in_redis
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    process.forget(settings)
    use_endpoints(receiver.entry("crm"))
    record_success(create())
    assert function_client("outbox_relay").post("/").status_code == 200
    assert receiver.versions(1) == [1]


def test_after_an_outage_an_endpoint_gets_all_in_order_and_delays_no_other(
    start_receiver: Callable[[], Receiver], use_endpoints: Callable[..., None]
) -> None:
    down, healthy = start_receiver(), start_receiver()
    down.status = 503
    use_endpoints(down.entry("down"), healthy.entry("healthy"))
    events = [create() for _ in range(5)]
    for event in events:
        record_success(event)
    for round_ in range(2, 5):
        events = [change(event, f"Ann {round_}") for event in events]
        for event in events:
            record_success(event)
        tick.run()
    assert all(healthy.versions(event.user.id) for event in events)
    attempts = len(down.requests)
    tick.run()
    assert len(down.requests) == attempts, "an endpoint that is down is not tried at each tick"
    make_due()
    down.status = 200
    tick.run()
    tick.run()
    for event in events:
        assert down.versions(event.user.id) == [1, 2, 3, 4]
        assert healthy.versions(event.user.id) == [1, 2, 3, 4]
    assert rows("SELECT FROM result_deliveries") == []


def test_a_rejected_result_holds_up_its_own_user_only(
    receiver: Receiver, use_endpoints: Callable[..., None]
) -> None:
    use_endpoints(receiver.entry("crm"))
    first, second = create(), create()
    receiver.status_of[first.user.id] = 422
    for event in (first, second):
        record_success(event)
        record_success(change(event, "Ann B"))
    tick.run()
    assert receiver.versions(second.user.id) == [1, 2]
    assert receiver.versions(first.user.id) == []
    receiver.status_of.clear()
    make_due()
    tick.run()
    assert receiver.versions(first.user.id) == [1, 2]


def test_a_result_that_commits_late_is_not_missed(
    receiver: Receiver, use_endpoints: Callable[..., None], postgres: str
) -> None:
    """The transaction that settles the event begins before a collection and ends after it."""
    use_endpoints(receiver.entry("crm"))
    event, other = create(), create()
    with postgres_connection(postgres) as late:
        late.run("BEGIN")
        late.run(
            "UPDATE events SET state = 'synced', settled_at = now(), due_at = NULL WHERE id = :id",
            id=event.id,
        )
        record_success(other)
        tick.run()
        assert receiver.versions(event.user.id) == []
        late.run("COMMIT")
    tick.run()
    assert receiver.versions(event.user.id) == [1]
    assert receiver.versions(other.user.id) == [1]


def test_more_results_than_a_batch_arrive_once(
    receiver: Receiver, use_endpoints: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "BATCH", 3)
    use_endpoints(receiver.entry("crm"))
    events = [create() for _ in range(10)]
    for event in events:
        record_success(event)
    in_threads(4, lambda _: tick.run())
    tick.run()
    assert sorted(result["user_id"] for result in receiver.accepted) == [
        event.user.id for event in events
    ]


def test_changes_are_delivered_before_their_outcome_if_the_entry_lists_them(
    receiver: Receiver, use_endpoints: Callable[..., None]
) -> None:
    use_endpoints(receiver.entry("crm", "user.changed,user.synced"))
    record_success(create())
    tick.run()
    assert [result["type"] for result in receiver.accepted] == ["user.changed", "user.synced"]


def test_a_resync_is_no_change(receiver: Receiver, use_endpoints: Callable[..., None]) -> None:
    use_endpoints(receiver.entry("crm", "user.changed"))
    event = create()
    requested = ResyncRequest(event.user.id, event.version, even_waiting=True)
    resync_events.request([requested], also=["quiet"])  # as `leadline apply --quiet`
    assert [row["changed"] for row in rows("SELECT changed FROM events ORDER BY version")][1:] == [
        "look,quiet"
    ]
    for _ in range(2):  # a user's second result would follow when the first is accepted
        tick.run()
    assert receiver.versions(event.user.id) == [1]


def test_no_result_names_the_person(receiver: Receiver, use_endpoints: Callable[..., None]) -> None:
    use_endpoints(receiver.entry("crm", "user.changed,user.failed,user.synced"))
    event = create()
    record_failure(
        event, f"{NAME} has a wrong phone {PHONE}, or 77001112233: ask ann or mr. Example"
    )
    tick.run()
    expected = "… has a wrong phone …, or …: ask … or mr. …"
    assert receiver.accepted[-1]["reason"] == expected
    tombstone.write(event.user.id)
    tick.run()
    assert receiver.accepted[-1]["erased"]
    delivered = b"".join(body for _, body in receiver.requests).decode()
    assert NAME not in delivered
    assert PHONE not in delivered
    stored = repr(rows("SELECT * FROM results"))
    assert NAME not in stored
    assert PHONE not in stored


def test_a_redirect_is_not_followed(
    start_receiver: Callable[[], Receiver], use_endpoints: Callable[..., None]
) -> None:
    target, redirecting = start_receiver(), start_receiver()
    redirecting.status, redirecting.headers = 307, {"Location": target.url}
    use_endpoints(redirecting.entry("crm"))
    record_success(create())
    tick.run()
    assert (len(redirecting.requests), target.requests) == (1, [])


def test_an_endpoint_that_hangs_ends_a_tick_after_one_time_out(
    receiver: Receiver, use_endpoints: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_sender, "ANSWER_S", 2)
    receiver.wait_s = 60  # seconds until it answers
    use_endpoints(receiver.entry("crm"))
    for _ in range(20):
        record_success(create())
    began = time.monotonic()
    tick.run()
    assert time.monotonic() - began < 30, "neither its 60 s, nor 2 s for each of the 20"
    (state,) = deliveries.status()
    assert (state["waiting"], state["unreachable"]) == (20, "no answer within 2 s")


@pytest.mark.parametrize(("status", "others_accepted"), [(500, 0), (410, 0), (410, 1)])
def test_status_names_a_receiver_that_has_not_accepted_a_result_for_a_minute(
    receiver: Receiver, use_endpoints: Callable[..., None],
    leadline: Callable[..., CommandOutput], status: int, others_accepted: int,
) -> None:  # fmt: skip
    use_endpoints(receiver.entry("crm"))
    event = create()
    record_success(event)
    receiver.status_of[event.user.id] = status
    for _ in range(others_accepted):
        record_success(create())
    tick.run()
    attention = leadline("status", "--json").json["attention"]
    assert "crm" not in str(attention), "a receiver may just be restarting"
    execute("UPDATE results SET collected_at = now() - interval '70 seconds'")
    status_report = leadline("status", "--json").json
    expected = f"The endpoint crm did not accept a result (status {status}): 1 wait for it"
    assert f"{expected}; leadline results list" in status_report["attention"]
    verdict = status_report["verdict"]
    reasons = {verdict["reason"], *(finding["reason"] for finding in verdict["also"])}
    assert "results_refused" in reasons
    receiver.status_of.clear()
    make_due()
    tick.run()
    assert "crm" not in str(leadline("status", "--json").json["attention"])


def test_a_result_is_given_up_after_days_and_can_be_replayed(
    receiver: Receiver, use_endpoints: Callable[..., None], leadline: Callable[..., CommandOutput]
) -> None:
    use_endpoints(receiver.entry("crm"))
    event = create()
    record_success(event)
    receiver.status = 422
    tick.run()
    execute("UPDATE results SET collected_at = now() - interval '4 days'")
    make_due()
    tick.run()
    listed = leadline("results", "list", "--json")
    assert listed.json["endpoints"][0]["given_up"] == 1
    assert listed.code == 1
    status = leadline("status", "--json").json
    assert status["results"]["given_up"] == 1
    assert "1 result given up within a day; leadline results list" in status["attention"]
    checks = {check["name"]: check for check in leadline("doctor", "--json").json["checks"]}
    assert not checks["endpoint crm"]["is_well"]
    gauges.refresh()
    exposition = metrics.exposition().decode()
    assert 'leadline_results{endpoint="crm",state="given_up"} 1.0' in exposition
    execute("UPDATE result_deliveries SET given_up_at = now() - interval '25 hours'")
    assert leadline("status", "--json").json["results"]["given_up"] == 0
    record_success(change(event, "Ann B"))
    receiver.status = 200
    tick.run()
    assert receiver.versions(1) == [2]
    assert leadline("results", "replay", "crm", "--hours", 200, "--yes", "--json").json == {
        "replayed": 2
    }
    tick.run()
    tick.run()
    assert receiver.versions(1) == [2, 1, 2]
    ids = [headers["webhook-id"] for headers, _ in receiver.requests]
    assert len(set(ids)) == 2
    assert leadline("results", "replay", "other").code == 2


def test_an_old_result_that_is_replayed_waits_for_its_endpoint_again(
    receiver: Receiver, use_endpoints: Callable[..., None], leadline: Callable[..., CommandOutput]
) -> None:
    use_endpoints(receiver.entry("crm"))
    record_success(create())
    receiver.status = 422
    tick.run()
    execute("UPDATE results SET collected_at = now() - interval '20 days'")
    tick.run()
    (state,) = deliveries.status()
    assert (state["waiting"], state["given_up"]) == (0, 1)
    receiver.status = 503
    leadline("results", "replay", "crm", "--hours", 700, "--yes")
    state = deliveries.undelivered()["crm"]
    assert state["problem"] is None, "the problem of earlier attempts is cleared"
    assert state["oldest_s"] < 86400, "its age counts from the replay"
    tick.run()
    (state,) = deliveries.status()
    assert (state["waiting"], state["given_up"]) == (1, 0)
    execute("UPDATE result_deliveries SET replayed_at = now() - interval '4 days'")
    tick.run()
    (state,) = deliveries.status()
    assert (state["waiting"], state["given_up"]) == (0, 1)


@pytest.mark.parametrize("entries", ["", "an invalid line"])
def test_results_are_given_up_and_deleted_though_their_endpoint_was_removed(
    receiver: Receiver, use_endpoints: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
    entries: str,
) -> None:  # fmt: skip
    use_endpoints(receiver.entry("crm"))
    record_success(create())
    receiver.status = 503
    tick.run()
    monkeypatch.setattr(tick, "_prunes_without_endpoints", Interval(0))
    monkeypatch.setenv("RESULT_ENDPOINTS", entries)
    tick.run()
    assert deliveries.status()[0]["waiting"] == 1
    execute("UPDATE results SET collected_at = now() - interval '4 days'")
    tick.run()
    (state,) = deliveries.status()
    assert (state["waiting"], state["given_up"]) == (0, 1)
    execute("UPDATE results SET collected_at = now() - interval '31 days'")
    tick.run()
    assert rows("SELECT * FROM results") == []


def test_an_invalid_entry_stops_nothing_else(
    receiver: Receiver, use_endpoints: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_endpoints(receiver.entry("crm"))
    monkeypatch.setenv("RESULT_ENDPOINTS", "crm http://example.com/ whsec_x")
    record_success(create())
    tick.run()
    monkeypatch.setenv("RESULT_ENDPOINTS", receiver.entry("crm"))
    tick.run()
    assert receiver.versions(1) == [1]


def test_the_exchange_routes_by_kind(in_rabbitmq: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_RESULTS_EXCHANGE", "on")
    process.forget(settings)
    tick.run()
    record_success(create())
    tick.run()  # no queue is bound: RabbitMQ drops the result
    assert rows("SELECT FROM result_deliveries") == []
    with pika.BlockingConnection(pika.URLParameters(in_rabbitmq)) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, endpoints.EXCHANGE, "user.failed")
        event = create()
        record_success(event)
        record_failure(change(event, "Ann B"))
        tick.run()
        tick.run()
        (method, properties, body) = channel.basic_get(queue, auto_ack=True)
        assert method.routing_key == "user.failed"
        assert orjson.loads(body)["data"]["user_id"] == event.user.id
        assert properties.message_id.startswith("user.failed:")
        assert channel.basic_get(queue)[0] is None
