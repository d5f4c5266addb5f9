"""Calls to Bitrix24 are stored for operators with their answers: masked, bounded, of one person."""

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from leadline import process
from leadline.ledger import accept, correlations, retention, settle, write
from leadline.ledger.erasure import erase
from leadline.ledger.settle import ReceivedReply
from leadline.messages.attempt_log import MAX_CALLS
from leadline.messages.contract import Reply
from leadline.operations import calls, timeline
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.users import search
from leadline.users.model import Changes, NewUser, UserId
from leadline.users.search import Search
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import CommandOutput, Control, execute, function_client, rows
from tests.integration.pipeline import Pipeline

ANN, PHONE = "Ann Lee", "+77011239876"
BOB = "Bob Stone"


pytestmark = pytest.mark.usefixtures("connected")


def create(name: str = ANN, phone: str = PHONE) -> UserId:
    return accept.create(NewUser(full_name=name, phone=phone), key=None).event.user.id


def masked_calls(user_id: UserId) -> list[dict[str, Any]]:
    """The calls of the user's newest event as the console shows them at first."""
    newest = timeline.read(user_id)["sync"]["events"][0]
    return list(newest["calls"])


def revealed_calls(user_id: UserId) -> list[dict[str, Any]]:
    """The same calls as an operator sees them who asks for names and phones."""
    return list(timeline.last_calls(user_id)[0]["calls"])


def fault(control: Control, action: str, **extra: Any) -> None:
    """Have the portal answer its next create, or the next `count`, with this fault."""
    control("faults", "POST", [{"method": "crm.item.add", "action": action, "count": 1} | extra])


def stored_calls() -> list[str]:
    return [row["calls"] for row in rows("SELECT calls FROM event_calls ORDER BY event_id")]


def test_a_writes_request_and_answer_are_masked_until_revealed(pipeline: Pipeline) -> None:
    user_id = create()
    pipeline.settle()
    (call,) = masked_calls(user_id)
    assert (call["method"], call["status"]) == ("crm.item.add", 200)
    assert call["ms"] >= 0
    fields = call["params"]["fields"]
    assert (fields["title"], fields["fm"][0]["value"]) == (calls.MASK, calls.MASK)
    assert (fields["originId"], fields["stageId"]) == (str(user_id), "NEW")
    assert isinstance(call["answer"]["item"]["id"], int)
    assert not {ANN, PHONE} & set(_texts(call))
    (revealed,) = revealed_calls(user_id)
    assert revealed["params"]["fields"]["title"] == ANN
    assert revealed["answer"]["item"]["fm"][0]["value"] == PHONE
    steps = timeline.read(user_id)["sync"]["events"][0]["steps"]
    attempt = next(step for step in steps if step["step"] == "attempt")
    assert attempt["at"].timestamp() * 1000 == pytest.approx(call["at_ms"], abs=1)


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def test_the_call_log_keeps_only_the_fields_that_we_write(pipeline: Pipeline) -> None:
    user_id = create()
    pipeline.settle()
    (revealed,) = revealed_calls(user_id)
    assert set(revealed["answer"]["item"]) == {"id", *revealed["params"]["fields"]}


def test_a_rejection_shows_its_code_and_reveals_its_text_on_request(
    pipeline: Pipeline, control: Control
) -> None:
    fault(
        control,
        "error_200",  # the batch is answered with 200, this command's entry in it with 400
        status=400,
        code="INVALID_ARG_VALUE",
        description=f"{ANN} is bad",
    )
    user_id = create()
    pipeline.settle()
    (call,) = masked_calls(user_id)
    assert call["error"] == {"kind": "Rejected", "code": "INVALID_ARG_VALUE"}
    (revealed,) = revealed_calls(user_id)
    assert revealed["error"]["text"] == f"{ANN} is bad"


def test_a_retried_write_shows_every_request_before_it_is_settled(
    pipeline: Pipeline, control: Control
) -> None:
    fault(control, "drop_after")
    user_id = create()
    pipeline.publish()
    pipeline.deliver("bitrix_queue")
    pipeline.call()
    (lost,) = masked_calls(user_id)
    assert (lost["method"], lost["status"], lost["error"]["kind"]) == (
        "crm.item.add",
        None,
        "OutcomeUnknown",
    )
    pipeline.settle()
    add, lookup = masked_calls(user_id)
    assert add == lost
    assert lookup["method"] == "crm.lead.list"
    assert lookup["params"]["filter"]["@ORIGIN_ID"] == [str(user_id)]
    assert lookup["answer"][0]["ORIGIN_ID"] == str(user_id)
    assert lookup["answer"][0]["TITLE"] == calls.MASK


def test_a_shared_lookup_shows_each_user_only_its_own_lead(
    pipeline: Pipeline, control: Control
) -> None:
    fault(control, "drop_after")
    ids = [create(), create(BOB, "+77012223344")]
    pipeline.settle()
    for user_id, name, other in ((ids[0], ANN, BOB), (ids[1], BOB, ANN)):
        text = str(revealed_calls(user_id))
        assert "crm.lead.list" in text
        assert name in text
        assert other not in text


def test_a_call_for_several_writes_is_logged_with_the_newest(pipeline: Pipeline) -> None:
    user_id = create()
    accept.change(user_id, Changes(full_name="Ann Second"), expected_version=None, key=None)
    pipeline.settle()
    newest, older = timeline.last_calls(user_id)
    assert newest["calls"][0]["params"]["fields"]["title"] == "Ann Second"
    assert older["calls"] == []


def test_no_more_than_the_last_calls_are_kept(pipeline: Pipeline, control: Control) -> None:
    busy = {"status": 503, "code": "QUERY_LIMIT_EXCEEDED"}
    fault(control, "error", **busy, count=MAX_CALLS + 5)
    user_id = create()
    pipeline.publish()
    pipeline.deliver("bitrix_queue")
    for _ in range(MAX_CALLS + 5):
        pipeline.call()
        _make_due()
    assert len(masked_calls(user_id)) == MAX_CALLS


def _make_due() -> None:
    due = f"{work_queue().prefix}due"
    for user_id in cast("list[bytes]", client().zrange(due, 0, -1)):
        client().zadd(due, {user_id: 0})


def test_the_setting_can_switch_the_call_log_off(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_KEEP_CALLS_S", "0")
    process.forget(settings)
    user_id = create()
    pipeline.settle()
    assert (stored_calls(), masked_calls(user_id)) == ([], [])


def test_calls_expire_before_their_event(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = create()
    pipeline.settle()
    retention.run(until=time.monotonic() + 10)
    assert len(stored_calls()) == 1
    now = time.time()
    monkeypatch.setattr("leadline.ledger.retention.time.time", lambda: now + 7 * 86400 + 60)
    retention.run(until=time.monotonic() + 10)
    assert stored_calls() == []
    assert timeline.read(user_id)["sync"]["events"]


def test_an_expired_event_is_deleted_with_its_calls_and_correlation_id(pipeline: Pipeline) -> None:
    create()
    pipeline.settle()
    execute(
        "INSERT INTO event_correlations SELECT hashtextextended(correlation_id, 0), id FROM events"
    )
    execute("UPDATE events SET settled_at = now() - interval '31 days'")
    retention.run(until=time.monotonic() + 10)
    assert stored_calls() == []
    assert rows("SELECT FROM event_correlations") == []


def test_an_erasure_deletes_the_calls_and_a_late_reply_restores_none(
    pipeline: Pipeline,
) -> None:
    user_id = create()
    other = create(BOB, "+77012223344")
    pipeline.settle()
    event = accept.change(
        user_id, Changes(full_name="Ann Second"), expected_version=None, key=None
    ).event
    assert len(stored_calls()) == 2
    erase.erase(user_id)
    assert [ANN in text for text in stored_calls()] == [False], "only those for Bob are left"
    reply = {"action": event.action, "user_id": user_id, "event_id": str(event.id)}
    call = {"at_ms": 1, "ms": 1, "status": 200, "method": "x", "params": {"title": ANN}}
    settle.apply([ReceivedReply(Reply(status="success", bitrix_lead_id=9, calls=[call], **reply))])
    assert ANN not in str(stored_calls())
    pipeline.settle()
    assert "Erased" not in str(stored_calls()), "the erasure's own calls are not kept"
    assert revealed_calls(other)[0]["params"]["fields"]["title"] == BOB


#: Deeper than a JSON parser can recurse.
NESTED: Any = []
for _ in range(5000):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "hostile",
    [
        "text",
        {},
        [],
        [1],
        ["\x00"],
        [{"a": "\x00\ud800"}],
        [{"params": NESTED}],
        [{}] * (MAX_CALLS + 1),
    ],
    ids=("text", "map", "empty", "numbers", "nul", "surrogate", "deep", "many"),
)
def test_a_reply_with_any_list_of_calls_settles_and_can_be_shown(hostile: Any) -> None:
    event = write.create(NewUser(full_name=ANN, phone=PHONE), key=None).event
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    settle.apply(
        [ReceivedReply(Reply(status="success", bitrix_lead_id=5, calls=hostile, **fields))]
    )
    found = timeline.read(event.user.id)
    assert found["sync"]["status"] == "synced"
    # A map is shown, even if it says nothing; what is no map or has too many entries is dropped.
    assert len(found["sync"]["events"][0]["calls"]) <= 1


def test_the_command_line_masks_calls_and_audits_their_disclosure(
    pipeline: Pipeline, leadline: Callable[..., CommandOutput]
) -> None:
    user_id = create()
    pipeline.settle()
    assert "crm.item.add" not in leadline("show", user_id).out.decode()
    masked = leadline("show", user_id, "--calls").out.decode()
    assert "crm.item.add" in masked
    assert "HTTP 200" in masked
    assert PHONE not in masked.partition("crm.item.add")[2]
    revealed = leadline("show", user_id, "--reveal").out.decode()
    assert PHONE in revealed.partition("crm.item.add")[2]
    trail = leadline("audit", "--orders", "--json").json["items"]
    assert [(action["action"], action["about"]["user_ids"]) for action in trail] == [
        ("read what was sent", [user_id])
    ]


def test_correlation_ids_are_found_before_and_after_the_relay_has_indexed_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = write.create(NewUser(full_name=ANN, phone=PHONE), key=None).event
    execute("UPDATE events SET correlation_id = 'mine'")

    def found_ids() -> list[int]:
        return [user["id"] for user in search.page(Search(find="call:mine"))["items"]]

    assert found_ids() == [event.user.id]
    correlations.catch_up(until=time.monotonic())
    assert rows("SELECT FROM event_correlations") == [], "events of the last minute are left out"
    monkeypatch.setattr(correlations, "OVERLAP_S", -1)
    assert correlations.catch_up(until=time.monotonic() + 10) == 1
    assert correlations.catch_up(until=time.monotonic() + 10) == 0
    (row,) = rows("SELECT event_id FROM event_correlations")
    assert str(row["event_id"]) == str(event.id)
    assert found_ids() == [event.user.id]
    execute("DELETE FROM event_correlations")
    assert found_ids() == [], "an indexed event is found by the index only"


def test_without_keys_calls_are_revealed_to_the_consoles_own_page_only() -> None:
    assert function_client("console").post("/api/users/1/sent", json={}).status_code == 403
