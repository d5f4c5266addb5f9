"""A repair writes what is missing, and keeps a stage that was set by hand in the CRM."""

from collections.abc import Callable
from typing import Any

import pytest

from leadline.bitrix24.command import Command
from leadline.errors import BitrixError
from leadline.ledger import accept
from leadline.operations.resync_users import resync_users
from leadline.runtime.redis import client
from leadline.sync import portal_session
from leadline.users.model import Changes, Move, NewUser, UserId
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import (
    CommandOutput,
    Control,
    execute,
    function_client,
    rows,
    skip_clock_tolerance,
)

pytestmark = pytest.mark.usefixtures("connected")

Leadline = Callable[..., CommandOutput]
Repair = Callable[[UserId], None]

#: Stages: set by a person in the CRM, the one at creation, and one that Leadline sets later.
BY_HAND, FIRST, OURS = "PROCESSED", "NEW", "IN_PROCESS"


def create(**extra: str) -> UserId:
    return accept.create(
        NewUser(full_name="Ann", phone="+77001112233", **extra), None
    ).event.user.id


def call_portal(method: str, **params: object) -> Any:
    """A call to the portal by another client."""
    answer = portal_session.portal_client().call({"one": Command(method, params)}).results["one"]
    assert not isinstance(answer, BitrixError), answer.detail
    return answer


def lead_of(user_id: UserId) -> dict[str, Any]:
    (lead,) = call_portal("crm.lead.list", filter={"=ORIGIN_ID": str(user_id)}, select=["*"])
    return dict(lead)


def move_by_hand(user_id: UserId) -> None:
    call_portal("crm.lead.update", id=lead_of(user_id)["ID"], fields={"STATUS_ID": BY_HAND})


def empty_redis() -> None:
    client().flushall()
    skip_clock_tolerance(work_queue())


@pytest.fixture(params=["Redis remembers", "Redis has forgotten"])
def forget(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Empties Redis, or leaves its data as they are."""
    return empty_redis if "forgotten" in request.param else lambda: None


@pytest.fixture(params=["reconcile", "resync", "console"])
def repair(request: pytest.FixtureRequest, leadline: Leadline) -> Repair:
    """Repair a user's lead by reconcile, by a resync or by the console."""

    def reconcile(_user_id: UserId) -> None:
        assert leadline("reconcile", "--repair", "--yes", "--restart").code in {0, 1}

    def resync_by_id(user_id: UserId) -> None:
        assert leadline("resync", user_id).code == 0

    def resync_in_console(user_id: UserId) -> None:
        headers = {"X-Leadline-Console": "1"}
        path = f"/api/users/{user_id}/again"
        assert function_client("console").post(path, json={}, headers=headers).status_code == 200

    repairs: dict[str, Repair] = {
        "reconcile": reconcile,
        "resync": resync_by_id,
        "console": resync_in_console,
    }
    return repairs[str(request.param)]


def test_a_stage_set_by_hand_outlives_a_repair_of_the_name(
    settle: Callable[[], None], repair: Repair, forget: Callable[[], None]
) -> None:
    user_id = create()
    settle()
    move_by_hand(user_id)
    call_portal("crm.lead.update", id=lead_of(user_id)["ID"], fields={"TITLE": "X", "NAME": "X"})
    forget()
    repair(user_id)
    settle()
    assert (lead_of(user_id)["STATUS_ID"], lead_of(user_id)["TITLE"]) == (BY_HAND, "Ann")


def create_with_lost_answers(control: Control, settle: Callable[[], None]) -> UserId:
    """Create a user whose lead exists although every attempt remained unanswered."""
    user_id = create()
    control("faults", "POST", [{"method": "batch", "action": "drop_after", "count": 3}])
    settle()
    execute("UPDATE events SET due_at = NULL WHERE state = 'failed'")
    assert rows("SELECT sync_status FROM users") == [{"sync_status": "failed"}]
    return user_id


@pytest.mark.slow("runs a user through several calls, retries and a repair")
def test_a_stage_set_by_hand_outlives_a_create_that_seemed_to_fail(
    control: Control, settle: Callable[[], None], repair: Repair, forget: Callable[[], None]
) -> None:
    user_id = create_with_lost_answers(control, settle)
    move_by_hand(user_id)
    forget()
    repair(user_id)
    settle()
    assert lead_of(user_id)["STATUS_ID"] == BY_HAND
    assert rows("SELECT sync_status FROM users") == [{"sync_status": "synced"}]


def test_an_update_without_a_stage_keeps_a_stage_set_by_hand(
    control: Control, settle: Callable[[], None]
) -> None:
    user_id = create_with_lost_answers(control, settle)
    move_by_hand(user_id)
    empty_redis()
    accept.change(user_id, Changes(full_name="Ann Lee"), expected_version=None, key=None)
    settle()
    assert (lead_of(user_id)["STATUS_ID"], lead_of(user_id)["TITLE"]) == (BY_HAND, "Ann Lee")


@pytest.mark.slow("runs a user through several calls, retries and a repair")
def test_a_stage_that_never_reached_the_crm_is_written(
    control: Control, settle: Callable[[], None], repair: Repair, forget: Callable[[], None]
) -> None:
    user_id = create()
    settle()
    rule = {"method": "crm.item.update", "action": "error", "code": "NO_WAY", "status": 400}
    control("faults", "POST", [rule])
    accept.change(user_id, Move(stage=OURS), expected_version=None, key=None)
    settle()
    assert lead_of(user_id)["STATUS_ID"] == FIRST
    control("faults", "DELETE")
    forget()
    repair(user_id)
    settle()
    assert lead_of(user_id)["STATUS_ID"] == OURS


def test_a_recreated_lead_gets_its_stage(settle: Callable[[], None], repair: Repair) -> None:
    user_id = create(stage=OURS)
    settle()
    call_portal("crm.lead.delete", id=lead_of(user_id)["ID"])
    repair(user_id)
    settle()
    assert lead_of(user_id)["STATUS_ID"] == OURS


def test_a_repair_of_stages_overwrites_them(leadline: Leadline, settle: Callable[[], None]) -> None:
    user_id = create()
    settle()
    move_by_hand(user_id)
    assert leadline("reconcile", "--repair", "--yes", "--stages").code == 0
    settle()
    assert lead_of(user_id)["STATUS_ID"] == FIRST


def test_after_an_outage_users_keep_stages_set_by_hand(
    control: Control, settle: Callable[[], None]
) -> None:
    user_id = create_with_lost_answers(control, settle)
    move_by_hand(user_id)
    assert resync_users([user_id]) == (1, [], [])
    settle()
    assert lead_of(user_id)["STATUS_ID"] == BY_HAND
