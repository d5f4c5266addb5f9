"""The stored part of a command and its answer is bounded, and contains one person only."""

from typing import Any

import orjson

from leadline.bitrix24 import call_log, leads
from leadline.bitrix24.call_log import MAX_CALL, MAX_EXCERPT
from leadline.bitrix24.leads import DesiredState
from leadline.errors import Rejected

REQUEST = {"at_ms": 1, "ms": 2, "status": 200}
CREATE = leads.create(7, DesiredState("Ann Lee", "+77001112233", "NEW"), "leadline")


def record_of(command: Any, result: Any, lead_id: int | None = None) -> dict[str, Any]:
    call: dict[str, Any] = orjson.loads(
        orjson.dumps(call_log.to_json(command, result, 7, lead_id, REQUEST))
    )
    return call


def test_another_persons_lead_is_logged_without_personal_data() -> None:
    bob = {"ID": "5", "TITLE": "Bob", "ORIGIN_ID": "8", "ORIGINATOR_ID": "x", "PHONE": []}
    call = record_of(leads.list_by_ids([5, 6]), [bob, {"ID": "6", "TITLE": "Eve"}], lead_id=5)
    assert call["answer"] == [{"ID": "5", "ORIGIN_ID": "8", "ORIGINATOR_ID": "x"}]
    assert call["params"] == {"filter": {"@ID": [5]}}


def test_a_shared_lookup_is_logged_with_this_users_id_and_leads_only() -> None:
    mine = {"ID": "5", "TITLE": "Ann Lee", "ORIGIN_ID": "7"}
    other = {"ID": "6", "TITLE": "Bob", "ORIGIN_ID": "8"}
    call = record_of(leads.list_by_origins([7, 8], "x"), [mine, other])
    assert call["answer"] == [mine]
    assert call["params"]["filter"]["@ORIGIN_ID"] == ["7"]


def test_a_long_or_unexpected_answer_is_cut() -> None:
    nested: Any = "x"
    for _ in range(400):
        nested = [nested]
    item = {"id": 1, "title": "y" * 10_000}
    answers: tuple[Any, ...] = ({"item": item}, "z" * 10_000, nested, [], None, {"item": nested})
    for answer in answers:
        call = record_of(CREATE, answer)
        assert len(orjson.dumps(call)) <= MAX_CALL
        assert len(str(call["answer"])) <= MAX_EXCERPT


def test_an_error_is_logged_with_its_code_and_its_beginning() -> None:
    call = record_of(CREATE, Rejected("no " * 1000, code="100"))
    assert (call["error"]["kind"], call["error"]["code"]) == ("Rejected", "100")
    assert len(call["error"]["text"]) == call_log.MAX_ERROR
