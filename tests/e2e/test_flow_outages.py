"""RabbitMQ or the portal down, a message lost: writes are accepted, and all recovers by itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.faults import portal
from tests.servers import eventually, family
from tests.system import System

pytestmark = pytest.mark.usefixtures("portal_in_order")


@contextmanager
def _frozen(system: System, name: str) -> Iterator[None]:
    """Suspend a process and its children for the block."""
    processes = family(system.pid(name))
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            # A killed process may be gone by now; the others must be resumed all the same.
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _assert_one_lead_each(system: System, users: list[int], within_s: float) -> None:
    def are_synced() -> bool:
        return all(system.user(user)["sync"]["status"] == "synced" for user in users)

    eventually(are_synced, within_s, f"{len(users)} users are synced")
    for user in users:
        portal.lead_of(system, user)


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_without_rabbitmq_writes_are_accepted_within_a_second_and_published_later(
    system: System, how: str
) -> None:
    usual_s = _usual_s(system)
    with _frozen(system, "rabbitmq"):
        users = _created_within_a_second(system, "Без Брокера", usual_s)
        if how == "killed":
            system.kill("rabbitmq")
    _assert_one_lead_each(system, users, within_s=120)


def test_a_frozen_portal_does_not_stop_writes_from_being_accepted(system: System) -> None:
    usual_s = _usual_s(system)
    with _frozen(system, "bitrix24"):
        users = _created_within_a_second(system, "Без Портала", usual_s)
    _assert_one_lead_each(system, users, within_s=120)


def _usual_s(system: System) -> float:
    """How long a write takes on this machine now, with every connection open."""
    system.await_synced(system.create()["id"])
    begun = time.monotonic()
    system.create()
    return time.monotonic() - begun


def _created_within_a_second(system: System, name: str, usual_s: float) -> list[int]:
    """The ids of three users; one may have taken longer, as other tests use the processors."""
    users, took = [], []
    for _ in range(3):
        begun = time.monotonic()
        users.append(int(system.create(name)["id"]))
        took.append(time.monotonic() - begun)
    assert sorted(took)[1] < 1 + 10 * usual_s, (took, usual_s)
    return users


#: As move_user does, when killed between its commit and its message.
_MOVE_AND_DIE = """
import sys
from leadline.ledger import write
from leadline.users import model
write.change(int(sys.argv[1]), model.Move(stage="JUNK"), expected_version=None, key=None)
"""


def test_a_move_whose_message_is_lost_is_sent_with_the_next_update(system: System) -> None:
    user = system.create("Чей Переход Пропал")
    system.await_synced(user["id"])
    subprocess.run(
        [sys.executable, "-c", _MOVE_AND_DIE, str(user["id"])],
        env={**os.environ, "DATABASE_URL": system.url("database")},
        check=True,
        timeout=60,
    )
    system.request("PATCH", f"/users/{user['id']}", json={"full_name": "Чей Переход Нашёлся"})
    view = system.await_synced(user["id"])
    assert (view["stage"], view["sync"]["version"]) == ("JUNK", 3)
    assert portal.looks_like(portal.lead_of(system, user["id"]), view)
