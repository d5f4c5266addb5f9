"""The outbox marks confirmed events as published, after any earlier failure."""

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pg8000.native
import pytest

from leadline import process
from leadline.ledger import outbox, write
from leadline.ledger.event import Event
from leadline.messages import topology
from leadline.runtime.postgres.dsn import servers
from leadline.runtime.rabbitmq.confirms import Done
from leadline.runtime.rabbitmq.connection import Message
from leadline.runtime.rabbitmq.publisher import Publisher
from leadline.users.model import NewUser
from local.sandbox.waiting import eventually
from tests.integration.conftest import rows

pytestmark = pytest.mark.usefixtures("in_postgres", "in_rabbitmq")


def write_user() -> Event:
    """Write a user and offer its event to the broker, as a function does."""
    event = write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None).event
    outbox.offer(event)
    return event


def is_marked(event: Event) -> bool:
    """Whether the event is marked as published."""
    found = rows("SELECT published_at FROM events WHERE id = CAST(:id AS uuid)", id=event.id)
    return found[0]["published_at"] is not None


def unmarked_count() -> float:
    """The counter of confirms that could not be marked."""
    (sample,) = [
        sample
        for sample in outbox.UNMARKED.collect().samples
        if sample.name.endswith("unmarked_total")
    ]
    return float(sample.value)


@contextmanager
def refuse_marks(owner_url: str) -> Iterator[None]:
    """Have Postgres refuse to mark events as published until the block ends."""
    with pg8000.native.Connection(**servers(owner_url).options[0]) as owner:
        owner.run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'no'; END$$"
        )
        owner.run(
            "CREATE TRIGGER refuse BEFORE UPDATE OF published_at ON events"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        try:
            yield
        finally:
            owner.run("DROP FUNCTION refuse CASCADE")


def test_a_rejected_mark_does_not_stop_later_ones(
    postgres: str,
) -> None:
    before = unmarked_count()
    with refuse_marks(postgres):
        first = write_user()
        eventually(lambda: unmarked_count() == before + 1, 60, "the refused mark is counted")
    assert not is_marked(first)
    second = write_user()
    eventually(lambda: is_marked(second), 60, "a later confirm is marked")


def test_a_driver_error_does_not_stop_the_marking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def raise_struct_error(_ids: list[str]) -> None:
        struct.unpack("!i", b"")

    before = unmarked_count()
    with monkeypatch.context() as patched:
        patched.setattr(outbox, "mark_published", raise_struct_error)
        write_user()
        eventually(lambda: unmarked_count() == before + 1, 60, "the failed mark is counted")
    second = write_user()
    eventually(lambda: is_marked(second), 60, "a later confirm is marked")


class ConfirmsAtOnce(Publisher):
    """A publisher that needs no broker."""

    def offer(self, message: Message, done: Done, *, timeout_s: float = 5) -> None:
        """Confirm the message at once."""
        assert message
        assert timeout_s
        is_confirmed = True
        done(is_confirmed)


def test_confirms_that_cannot_be_marked_take_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marked: list[str] = []
    may_mark, began = threading.Event(), threading.Event()

    def mark_slowly(ids: list[str]) -> None:
        began.set()
        assert may_mark.wait(60)
        marked.extend(ids)

    monkeypatch.setattr(outbox, "mark_published", mark_slowly)
    monkeypatch.setattr(outbox, "MAX_CONFIRMED", 50)
    event = write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None).event
    marking = outbox.Outbox(ConfirmsAtOnce("amqp://127.0.0.1:1/", topology.all_queues()))
    before = unmarked_count()
    marking.offer(event)
    assert began.wait(60)
    for _ in range(1000):
        marking.offer(event)
    assert unmarked_count() == before + 1000 - 50
    may_mark.set()
    marking.close()
    assert len(marked) == 1 + 50, "the first one, and the confirms within the bound"


def test_an_outbox_that_closes_marks_what_is_confirmed() -> None:
    before = threading.enumerate()
    with process.fresh():
        events = [write_user() for _ in range(3)]
    assert all(map(is_marked, events))
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []
