"""Bulk jobs: an operator's action on many users survives restarts and can be cancelled."""

from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest

from leadline import process
from leadline.connector.dead_letters import DeadLetter
from leadline.errors import BrokerDown, DatabaseDown, PathNotFound
from leadline.ledger import retention, write
from leadline.ledger.resync import resync_events
from leadline.messages import topology
from leadline.operations import dead_letters
from leadline.operations.bulk import jobs, steps
from leadline.operations.bulk.jobs import Selection
from leadline.runtime.postgres.pool import INSUFFICIENT_PRIVILEGE, StatementError
from leadline.runtime.telemetry import trace_context
from leadline.settings import settings
from leadline.users import failures
from leadline.users.model import NewUser
from tests.integration.conftest import execute, function_client, in_threads, rows

pytestmark = pytest.mark.usefixtures("in_postgres")


def create_failed_users(number: int, reason: str = "no such field") -> list[int]:
    """Users whose first write has failed."""
    phone = "+77001112233"
    ids: list[int] = [
        write.create(NewUser(full_name="Ann", phone=phone), key=None).event.user.id
        for _ in range(number)
    ]
    execute(
        "UPDATE events SET state = 'failed', reason = :reason, due_at = NULL, settled_at = now()"
        " WHERE user_id = ANY (CAST(:ids AS bigint[]))",
        reason=reason,
        ids=ids,
    )
    execute(
        "UPDATE users SET sync_status = 'failed', sync_reason = :reason"
        " WHERE id = ANY (CAST(:ids AS bigint[]))",
        reason=reason,
        ids=ids,
    )
    return ids


def waiting_ids() -> list[int]:
    sql = "SELECT id FROM users WHERE sync_status = 'waiting' ORDER BY id"
    return [row["id"] for row in rows(sql)]


def begin(**selection: Any) -> str:
    """Begin a resync of the selected users as an operator; returns the id of the job."""
    trace_context.set_caller("ops.anna")
    begun = jobs.begin("resync", Selection(**selection))
    trace_context.set_caller("")
    return str(begun["id"])


def shown_job(job_id: str) -> dict[str, Any]:
    return next(item for item in jobs.advance_and_list()["items"] if item["id"] == job_id)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each step of a job take two users."""
    monkeypatch.setattr(steps, "BATCH", 2)


@pytest.mark.usefixtures("small_steps")
def test_a_job_resyncs_all_failed_users_and_records_who_started_it() -> None:
    ids = create_failed_users(5)
    job_id = begin()
    assert jobs.advance(budget_s=30) == 5
    assert waiting_ids() == ids
    found = shown_job(job_id)
    assert (found["state"], found["total"], found["done"], found["changed"]) == ("done", 5, 5, 5)
    assert found["caller"] == "ops.anna"
    assert found["outcome"] == {"open": 5}
    events = rows("SELECT caller, correlation_id FROM events WHERE version = 2")
    assert {tuple(event.values()) for event in events} == {("ops.anna", f"job-{job_id}")}
    assert not trace_context.caller(), "the process goes on under its own name"


def test_a_job_concerns_one_reason_or_chosen_users() -> None:
    first, second, third = create_failed_users(3, "lead 12 belongs to another user")
    create_failed_users(1, "lead 345 belongs to another user")
    other_users = create_failed_users(2)
    groups = {group["users"]: group for group in failures.groups()}
    assert groups.keys() == {4, 2}, "texts that differ in numbers only are one reason"
    begin(reason_ids=(groups[2]["reason_id"],))
    jobs.advance(budget_s=30)
    assert waiting_ids() == other_users
    begin(user_ids=(first, third, 10**9))  # the last id is no user's
    jobs.advance(budget_s=30)
    assert waiting_ids() == [first, third, *other_users]
    assert shown_job(begin(user_ids=(second,)))["total"] == 1


@pytest.mark.usefixtures("small_steps")
def test_a_job_resumes_where_a_killed_process_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = create_failed_users(6)
    job_id = begin()
    original_request = resync_events.request
    calls: list[int] = []

    def fail_at_the_second_step(*args: Any) -> list[int]:
        calls.append(1)
        if len(calls) == 2:
            raise DatabaseDown
        return original_request(*args)

    with monkeypatch.context() as patch:
        patch.setattr(resync_events, "request", fail_at_the_second_step)
        with pytest.raises(DatabaseDown):
            jobs.advance(budget_s=30)
    assert waiting_ids() == ids[:2]
    assert jobs.advance(budget_s=30) == 0, (
        "until its claim expires, the job is the killed process's"
    )
    execute("UPDATE bulk_jobs SET claimed_until = now() - interval '1 second'")
    jobs.advance(budget_s=30)
    assert waiting_ids() == ids
    assert shown_job(job_id)["state"] == "done"
    assert {row["version"] for row in rows("SELECT version FROM users")} == {2}, "none twice"


@pytest.mark.usefixtures("small_steps")
def test_a_job_is_bounded_in_time_and_can_be_cancelled_between_steps() -> None:
    ids = create_failed_users(6)
    job_id = begin()
    assert jobs.advance(budget_s=0.0001) == 2, "the time suffices for no second step"
    assert job_state(job_id) == "running"
    cancelled = jobs.cancel(job_id)
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", 2)
    assert jobs.advance(budget_s=30) == 0
    assert waiting_ids() == ids[:2]
    with pytest.raises(PathNotFound):
        jobs.cancel(job_id)


@pytest.mark.usefixtures("small_steps")
def test_the_step_during_which_a_job_is_cancelled_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = create_failed_users(6)
    job_id = begin()
    run = steps.run

    def run_and_cancel(*args: Any) -> steps.Step:
        step = run(*args)
        jobs.cancel(job_id)
        return step

    monkeypatch.setattr(steps, "run", run_and_cancel)
    jobs.advance(budget_s=30)
    assert waiting_ids() == ids[:2]
    cancelled = jobs.find(job_id)
    assert (cancelled["state"], cancelled["done"], cancelled["changed"]) == ("cancelled", 2, 2)
    assert cancelled["ended_at"] is not None


def job_state(job_id: str) -> str:
    sql = "SELECT state FROM bulk_jobs WHERE id = CAST(:id AS uuid)"
    return str(rows(sql, id=job_id)[0]["state"])


@pytest.mark.usefixtures("small_steps")
def test_several_processes_share_the_work_and_retry_no_user_twice() -> None:
    ids = create_failed_users(20)
    job_id = begin()
    in_threads(4, lambda _: jobs.advance(budget_s=30))
    assert waiting_ids() == ids
    assert {row["version"] for row in rows("SELECT version FROM users")} == {2}
    assert shown_job(job_id)["done"] == 20


def test_users_that_fail_again_do_not_make_a_job_endless() -> None:
    create_failed_users(3)
    begin()
    jobs.advance(budget_s=30)
    execute("UPDATE users SET sync_status = 'failed', sync_reason = 'again'")
    assert jobs.advance(budget_s=30) == 0


def test_a_tick_of_the_relay_advances_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")
    monkeypatch.setattr("leadline.runtime.rabbitmq.publisher.CONFIRM_TIMEOUT_S", 0.3)
    ids = create_failed_users(3)
    begin()
    function_client("outbox_relay").post("/")  # though RabbitMQ can't be reached
    assert waiting_ids() == ids


@pytest.fixture
def add_dead_letters(
    in_rabbitmq: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Adds a dead letter for each given reason; the reason is also its body."""
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    process.forget(settings)
    connection = pika.BlockingConnection(pika.URLParameters(in_rabbitmq))
    channel = connection.channel()
    for queue in (topology.REQUESTS, topology.REPLIES):
        for auxiliary in topology.auxiliary_queues(queue):
            channel.queue_declare(auxiliary.name, durable=True, arguments=auxiliary.arguments)
        topology.declare(channel, topology.main_queue(queue))
    name = topology.dead_letter_name(topology.REQUESTS)

    def add(*reasons: str) -> None:
        for reason in reasons:
            properties = pika.BasicProperties(headers={"x-reason": reason}, delivery_mode=2)
            channel.basic_publish("", name, reason.encode(), properties)

    yield add
    connection.close()


def all_dead_letters() -> list[DeadLetter]:
    return dead_letters.collect(dead_letters.ALL, lambda letter: letter)


def test_a_tick_of_the_relay_carries_out_jobs_on_dead_letters(
    add_dead_letters: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "LETTERS_MAX", 2)
    add_dead_letters("422 Ann", "422 Ann", "422 Ann", "other")
    reason_id = next(
        letter.reason_id for letter in all_dead_letters() if letter.reason == "422 Ann"
    )
    begun = jobs.begin("discard", Selection(queue=topology.REQUESTS, reason_id=reason_id))
    assert begun["total"] == 3
    stored = rows("SELECT CAST(selection AS text) AS text FROM bulk_jobs")[0]["text"]
    assert "Ann" not in stored, "a reason may quote a person"
    tick()
    assert job_state(begun["id"]) == "done"
    assert [letter.body for letter in all_dead_letters()] == [b"other"]
    jobs.begin("replay", Selection())
    tick()
    assert all_dead_letters() == []
    assert {job["done"] for job in jobs.newest()} == {3, 1}


def tick() -> None:
    assert function_client("outbox_relay").post("/").status_code == 200


def test_a_job_waits_for_dead_letters_that_another_walk_has_fetched(
    add_dead_letters: Callable[..., None], in_rabbitmq: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dead_letters("one", "two", "three")
    connection = pika.BlockingConnection(pika.URLParameters(in_rabbitmq))
    channel = connection.channel()
    begun = jobs.begin("discard", Selection())
    for _ in range(2):
        channel.basic_get(topology.dead_letter_name(topology.REQUESTS))
    pauses: list[float] = []

    def end_the_other_walk(seconds: float) -> None:
        pauses.append(seconds)
        if channel.is_open:
            channel.close()
        connection.process_data_events(seconds)

    monkeypatch.setattr("leadline.operations.dead_letters.time.sleep", end_the_other_walk)
    jobs.advance(jobs.DEAD_LETTER_KINDS, budget_s=30)
    connection.close()
    assert pauses, "the job has waited"
    assert job_state(begun["id"]) == "done"
    assert all_dead_letters() == []


def test_a_job_pauses_while_a_server_is_down_and_then_resumes(
    add_dead_letters: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dead_letters("one")
    job_id = jobs.begin("discard", Selection())["id"]
    tries: list[int] = []

    def fail(*_: object, **__: object) -> None:
        tries.append(1)
        raise BrokerDown("RabbitMQ can't be reached")

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "walk", fail)
        jobs.advance(jobs.ALL_KINDS, budget_s=2)
    assert len(tries) == 1, "the job is not retried within the same tick"
    assert jobs.find(job_id)["problem"] == "RabbitMQ can't be reached"
    execute("UPDATE bulk_jobs SET claimed_until = now()")
    jobs.advance(jobs.ALL_KINDS, budget_s=30)
    found = jobs.find(job_id)
    assert (found["state"], found["problem"]) == ("done", None)


def test_old_jobs_are_deleted_and_running_ones_kept() -> None:
    create_failed_users(1)
    ended, running = begin(), begin()
    jobs.cancel(ended)
    execute("UPDATE bulk_jobs SET created_at = now() - interval '40 days'")
    execute("UPDATE bulk_jobs SET ended_at = now() - interval '31 days' WHERE state = 'cancelled'")
    retention.run(until=0)
    assert [row["id"] for row in rows("SELECT CAST(id AS text) AS id FROM bulk_jobs")] == [running]


def test_groups_of_failures_show_their_age_and_how_many_will_be_retried() -> None:
    ids = create_failed_users(2)
    execute(
        "UPDATE events SET settled_at = now() - interval '1 hour' WHERE user_id = :id", id=ids[0]
    )
    execute("UPDATE events SET due_at = now() WHERE user_id = :id", id=ids[1])
    (group,) = failures.groups()
    assert (group["users"], group["retrying"], group["reason"]) == (2, 1, "no such field")
    assert 3590 < (group["latest"] - group["since"]).total_seconds() < 3610


def test_a_login_that_may_not_change_jobs_still_sees_the_rest_of_the_console(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise StatementError(INSUFFICIENT_PRIVILEGE, "")

    monkeypatch.setattr(jobs, "advance", refuse)
    assert INSUFFICIENT_PRIVILEGE in jobs.advance_and_list()["error"]
