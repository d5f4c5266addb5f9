"""The disasters that the promises must survive, each as a named test; see README.md."""

import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pika
import pytest
import requests

from leadline.messages import topology
from tests.faults import portal
from tests.faults.amqp_client import ReceivedMessage
from tests.faults.bench import Bench
from tests.faults.idle import await_idle
from tests.servers import eventually

CLIENTS = 40


def create(bench: Bench, count: int) -> list[dict[str, Any]]:
    """Create this many users concurrently, each answered 201."""

    def post(number: int) -> dict[str, Any]:
        body = {"full_name": f"Один Из {number}", "phone": f"+7701{number:07}"}
        answer = requests.post(f"{bench.edge}/users", json=body, timeout=60)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(post, range(count)))


def rename(bench: Bench, users: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """An update of each user, each answered 200."""

    def patch(user: dict[str, Any]) -> dict[str, Any]:
        body = {"full_name": f"Снова {user['full_name']}"}
        answer = requests.patch(f"{bench.edge}/users/{user['id']}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(patch, users))


def assert_each_user_has_its_lead(bench: Bench, users: list[dict[str, Any]]) -> None:
    leads: dict[str, list[dict[str, Any]]] = {}
    for lead in bench.control("GET", "leads"):
        leads.setdefault(lead["ORIGIN_ID"], []).append(lead)
    for user in users:
        (lead,) = leads[str(user["id"])]
        assert portal.looks_like(lead, user), (lead, user)
    assert bench.control("GET", "duplicates") == []
    ids = [user["id"] for user in users]
    rows = bench.rows("SELECT DISTINCT sync_status FROM users WHERE id = ANY(:ids)", ids=ids)
    assert rows == [{"sync_status": "synced"}]


@pytest.mark.slow("kills a whole system and starts it again")
def test_kill_9_of_everything_right_after_200_writes_gives_200_leads(bench: Bench) -> None:
    users = create(bench, 200)
    for name in bench.process_names():
        bench.send(name, signal.SIGKILL)
    for server in ("redis", "rabbitmq", "postgres", "bitrix24"):
        bench.crash(server)
        bench.revive(server)
    await_idle(bench)
    assert len({user["id"] for user in users}) == 200
    assert_each_user_has_its_lead(bench, users)


@pytest.mark.long
def test_redis_emptied_and_rabbitmq_deleted_amid_2000_events_lose_and_duplicate_nothing(
    bench: Bench,
) -> None:
    users = create(bench, 500)
    users = rename(bench, users)
    with bench.redis() as redis:
        redis.flushall()
    bench.crash("rabbitmq")
    bench.wipe("rabbitmq")
    bench.revive("rabbitmq")
    users = rename(bench, users)
    users = rename(bench, users)
    await_idle(bench)
    assert_each_user_has_its_lead(bench, users)


def _let_portal_answer_500(bench: Bench) -> None:
    bench.control("POST", "faults", [{"method": "batch", "action": "error", "status": 500}])


def _crash_portal(bench: Bench) -> None:
    bench.crash("bitrix24")


@pytest.mark.long
@pytest.mark.parametrize("break_portal", [_let_portal_answer_500, _crash_portal])
def test_an_outage_of_bitrix24_is_reported_after_three_attempts_and_recovers_by_itself(
    bench: Bench, break_portal: Callable[[Bench], None]
) -> None:
    """If single calls fail, each event has its attempts, its error, and a later retry."""
    break_portal(bench)
    users = create(bench, 500)
    ids = [user["id"] for user in users]
    reported = (
        "SELECT count(*) FROM events WHERE state = 'failed' AND attempts = 3"
        " AND reason <> '' AND user_id = ANY(:ids)"
    )
    eventually(
        lambda: bench.rows(reported, ids=ids)[0]["count"] == 500, 300, "500 errors are reported"
    )
    bench.repair()
    await_idle(bench)
    assert_each_user_has_its_lead(bench, users)


@pytest.mark.long
def test_a_closed_portal_spends_no_attempt_and_reports_no_error(bench: Bench) -> None:
    """If all calls must fail (plan expired, webhook revoked, overload), all users wait."""
    bench.control("PUT", "settings", {"mode": "overload"})
    users = create(bench, 500)
    ids = [user["id"] for user in users]
    until = time.monotonic() + 20  # past the time at which three attempts would be over
    eventually(lambda: time.monotonic() > until, 120, "the attempts would be over")
    count_settled = "SELECT count(*) FROM events WHERE state <> 'open' AND user_id = ANY(:ids)"
    assert bench.rows(count_settled, ids=ids) == [{"count": 0}]
    bench.repair()
    await_idle(bench)
    assert_each_user_has_its_lead(bench, users)
    attempts = "SELECT DISTINCT attempts FROM events WHERE user_id = ANY(:ids)"
    assert bench.rows(attempts, ids=ids) == [{"attempts": 1}]


#: Bytes: over our own limit of a body, and under the broker's.
HUGE = 100 * 1024
#: For each queue: unprocessable messages, and a word of the reason.
UNPROCESSABLE: tuple[tuple[str, bytes, str], ...] = (
    (topology.REQUESTS, b"not json", "JSON"),
    (topology.REQUESTS, b"null", "object"),
    (topology.REQUESTS, b"[" * 20_000, "CloudEvent"),
    (topology.REQUESTS, b'{"action": "create_card", "user": {"id": "one"}}', "user.id"),
    (topology.REQUESTS, b'{"pattern": "x", "data": "' + b"x" * HUGE + b'"}', "bytes"),
    (topology.REPLIES, b"\xff\xfe", "JSON"),
    (topology.REPLIES, b'{"status": "maybe"}', "status"),
    (
        topology.REPLIES,
        orjson.dumps(
            {
                "status": "success",
                "action": "create_card",
                "user_id": 2**62,
                "bitrix_lead_id": 1,
                "event_id": "01990000-0000-7000-8000-000000000000",
            }
        ),
        "ledger",
    ),
)


def test_an_unprocessable_message_is_dead_lettered_with_its_reason_and_harms_no_other(
    bench: Bench,
) -> None:
    users = create(bench, 5)
    with bench.channel() as channel:
        for number, (queue, body, _) in enumerate(UNPROCESSABLE):
            properties = pika.BasicProperties(message_id=f"hopeless-{number}", delivery_mode=2)
            channel.basic_publish("", queue, body, properties, mandatory=True)
    users += create(bench, 5)
    await_idle(bench)
    assert_each_user_has_its_lead(bench, users)
    dead_letters: dict[str, ReceivedMessage] = {}

    def all_are_dead_letters() -> bool:
        dead_letters.update(_dead_letters(bench))
        return len(dead_letters) == len(UNPROCESSABLE)

    eventually(all_are_dead_letters, 120, "every one is in the dead letters")
    for number, (queue, body, word) in enumerate(UNPROCESSABLE):
        dead_letter = dead_letters[f"hopeless-{number}"]
        assert dead_letter.body == body
        assert word in dead_letter.reason, dead_letter.reason
        assert dead_letter.headers["x-origin"] == queue


def _dead_letters(bench: Bench) -> dict[str, ReceivedMessage]:
    """By message id, taken off the queue; those of other tests are dropped."""
    found = {}
    with bench.channel() as channel:
        for queue in (topology.REQUESTS, topology.REPLIES):
            while True:
                method, properties, body = channel.basic_get(
                    topology.dead_letter_name(queue), auto_ack=True
                )
                if method is None:
                    break
                if str(properties.message_id).startswith("hopeless-"):
                    found[properties.message_id] = ReceivedMessage(body, properties)
    return found
