"""Two versions side by side on one set of servers, as during an upgrade and after a rollback."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import psutil
import pytest

from tests.faults.portal import SHORT_WAITS, WEBHOOK_CODE
from tests.servers import eventually
from tests.system import CHECKOUT, System

#: The commit of the previous version; update it with each release.
PREVIOUS = "670fb51"
KEY = "a-key-for-both-versions-0123456789"
COMMON = {
    **SHORT_WAITS,
    "API_KEYS": f"client:read,write,operate:{KEY}",
    "LEADLINE_AUTH": "on",
    "LEADLINE_RELAY_EVERY_S": "1",
    "WORKERS": "1",  # one of each version
}
USERS = 24
#: All users need a few calls, at the portal's two requests a second; a slow machine takes longer.
WITHIN_S = 240

pytestmark = pytest.mark.slow("starts a system of each of two versions")


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The previous version's checkout, with the packages of this one."""
    folder = tmp_path_factory.mktemp("versions") / "previous"
    worktree = git("worktree", "add", "--detach", str(folder), PREVIOUS)
    if worktree.returncode:
        pytest.skip(f"no history of this checkout: {worktree.stderr.strip()}")
    yield folder
    git("worktree", "remove", "--force", str(folder))


def git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ("git", *words),  # noqa: S607 - found on the PATH
        cwd=CHECKOUT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def both(previous: Path, new_system: Callable[..., System]) -> tuple[System, System]:
    """The old version with its own servers, and this one on the same servers."""
    old = new_system(**COMMON)
    old.checkout = previous
    old.start()
    new = new_system(
        **COMMON,
        DATABASE_URL=old.url("database"),
        AMQP_URL=old.url("amqp"),
        REDIS_URL=old.url("redis"),
        BITRIX_WEBHOOK_URL=f"{old.url('bitrix24')}/rest/1/{WEBHOOK_CODE}/",
    )
    new.start()
    for system in (old, new):
        system.http.headers["Authorization"] = f"Bearer {KEY}"
    return old, new


def test_two_releases_side_by_side_lose_and_duplicate_nothing_and_a_rollback_works(
    both: tuple[System, System], previous: Path
) -> None:
    old, new = both
    folders = [psutil.Process(system.pid("create-user")).cwd() for system in both]
    assert folders == [str(previous), str(CHECKOUT)], "each runs its own code"

    def write(number: int) -> int:
        first, second = both if number % 2 else both[::-1]
        user = first.create(f"Created {number}")["id"]
        rename(second, user, f"Changed {number}")
        answer = first.request("POST", f"/users/{user}/move", json={"stage": "IN_PROCESS"})
        assert answer.status_code == HTTPStatus.OK, answer.text
        return int(user)

    with ThreadPoolExecutor(4) as clients:
        users = list(clients.map(write, range(USERS)))
    names = {user: f"Changed {number}" for number, user in enumerate(users)}
    check_leads(old, names)

    names |= {new.create(f"New {number}")["id"]: f"New {number}" for number in range(USERS)}
    new.stop()
    for user in list(names)[::2]:
        names[user] = f"Changed after the rollback {user}"
        rename(old, user, names[user])
    check_leads(old, names)


def rename(system: System, user: int, full_name: str) -> None:
    answer = system.request("PATCH", f"/users/{user}", json={"full_name": full_name})
    assert answer.status_code == HTTPStatus.OK, answer.text


def users_with_status(system: System, status: str) -> list[int]:
    """The users with this sync status."""
    page = system.request("GET", f"/users?sync={status}&limit=200").json()
    return [user["id"] for user in page["items"]]


def check_leads(system: System, names: dict[int, str]) -> None:
    """No user waits or has failed, and each has one lead, with its newest name."""
    eventually(lambda: not users_with_status(system, "waiting"), WITHIN_S, "no user waits")
    assert not users_with_status(system, "failed")
    found = [(int(lead["ORIGIN_ID"]), lead["NAME"]) for lead in system.leads()]
    assert sorted(found) == sorted(names.items())
