"""Duplicates before create: a user is linked, held for an operator, or its lead gets a contact."""

from collections.abc import Callable
from typing import Any

import pytest

from leadline import process
from leadline.bitrix24.client import BatchResponse
from leadline.bitrix24.command import Command
from leadline.errors import BitrixError, OutcomeUnknown
from leadline.ledger import accept
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.sync import batch_call, portal_session
from leadline.users.further_fields import with_fields
from leadline.users.model import Changes, NewUser, UserId
from leadline.workqueue.queue import work_queue
from tests.integration.conftest import CommandOutput, Control, execute, rows
from tests.integration.pipeline import Pipeline
from tests.servers import eventually

Leadline = Callable[..., CommandOutput]
FIND = "crm.duplicate.findbycomm"


@pytest.fixture(autouse=True)
def hold_users(servers: None, connected: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have users with several possible leads held."""
    assert (servers, connected) == (None, None)
    set_duplicates(monkeypatch, "hold")


def phone(number: int) -> str:
    return f"+7701{1_110_000 + number}"


def national_phone(number: int) -> str:
    return "8 (701) " + phone(number).removeprefix("+7701")


def create_user(number: int, name: str = "") -> UserId:
    new_user = NewUser(full_name=name or f"User {number}", phone=phone(number))
    return accept.create(new_user, key=None).event.user.id


def call_portal(method: str, **params: object) -> Any:
    """A call to the portal by another client."""
    answer = portal_session.portal_client().call({"one": Command(method, params)}).results["one"]
    assert not isinstance(answer, BitrixError), answer.detail
    return answer


def add_lead(number: int, **fields: object) -> int:
    """Add a lead as a person does, with the phone in national notation; returns its id."""
    lead_fields = {
        "TITLE": "By Hand",
        "NAME": "By Hand",
        "PHONE": [{"VALUE": national_phone(number)}],
        **fields,
    }
    lead_id: int = call_portal("crm.lead.add", fields=lead_fields)
    return lead_id


def all_leads(control: Control) -> dict[int, dict[str, Any]]:
    return {int(row["ID"]): row for row in control("leads")}


def set_duplicates(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Set what is done about duplicates."""
    monkeypatch.setenv("LEADLINE_DUPLICATES", value)
    process.forget(settings)


def commands_sent(control: Control, method: str) -> int:
    """How many commands of this method the portal has got."""
    return int(control("calls")["methods"].get(method, 0))


def test_a_user_is_linked_to_the_one_open_lead_with_its_phone(
    control: Control, pipeline: Pipeline
) -> None:
    ids = [add_lead(number, STATUS_ID="PROCESSED") for number in range(1, 4)]
    users = [create_user(number) for number in range(1, 6)]
    pipeline.settle()
    found = all_leads(control)
    assert len(found) == 5, "two are new"
    assert [found[lead_id]["ORIGIN_ID"] for lead_id in ids] == [
        str(user_id) for user_id in users[:3]
    ]
    assert [found[lead_id]["TITLE"] for lead_id in ids] == ["User 1", "User 2", "User 3"]
    assert {found[lead_id]["STATUS_ID"] for lead_id in ids} == {"PROCESSED"}
    assert [row["VALUE"] for row in found[ids[0]]["PHONE"]] == [phone(1)]
    assert commands_sent(control, FIND) == 1, "five users share a command"
    linked_users = rows("SELECT bitrix_lead_id FROM users ORDER BY id LIMIT 3")
    assert [row["bitrix_lead_id"] for row in linked_users] == ids
    accept.change(users[0], Changes(full_name="Renamed"), expected_version=None, key=None)
    pipeline.settle()
    assert commands_sent(control, FIND) == 1, "an update is not preceded by a search"


MAP = """
[fields.email]
type = "email"
lead = "EMAIL"

[fields.home_email]
type = "email"
lead = "EMAIL"
value_type = "HOME"
"""


@pytest.fixture
def emails(field_map: Callable[[str], None]) -> None:
    """Give users two e-mails."""
    field_map(MAP)


def create_with_emails(number: int, **emails: str) -> UserId:
    new_user = with_fields(NewUser)(full_name=f"User {number}", phone=phone(number), **emails)
    return accept.create(new_user, key=None).event.user.id


def email_rows(*values: str) -> list[dict[str, str]]:
    return [{"VALUE": value, "VALUE_TYPE": "WORK"} for value in values]


@pytest.mark.usefixtures("emails")
def test_a_user_is_linked_by_its_email_too(control: Control, pipeline: Pipeline) -> None:
    by_email = add_lead(900, EMAIL=email_rows("other@example.com", "Ann@Example.COM"))
    by_home = add_lead(901, EMAIL=email_rows("bob@home.example"))
    closed = add_lead(902, EMAIL=email_rows("cid@example.com"), STATUS_ID="JUNK")
    ann = create_with_emails(1, email="ann@example.com")
    bob = create_with_emails(2, email="bob@example.com", home_email="BOB@home.example")
    cid = create_with_emails(3, email="cid@example.com")
    pipeline.settle()
    found = all_leads(control)
    assert len(found) == 4, "one is new"
    assert found[by_email]["ORIGIN_ID"] == str(ann)
    assert found[by_home]["ORIGIN_ID"] == str(bob)
    assert found[closed]["ORIGIN_ID"] in (None, "")
    assert str(cid) in {row["ORIGIN_ID"] for row in found.values()}
    values = [row["VALUE"] for row in call_portal("crm.lead.get", id=by_email)["EMAIL"]]
    assert "other@example.com" in values, "another person's row stays"
    assert len(values) == 2, "its own is not added again"
    assert commands_sent(control, FIND) == 2, (
        "three users share one command for phones, one for e-mails"
    )


@pytest.mark.usefixtures("emails")
def test_leads_found_by_phone_and_by_email_count_as_several(
    control: Control, pipeline: Pipeline, leadline: Leadline
) -> None:
    by_phone = add_lead(1)
    by_email = add_lead(900, EMAIL=email_rows("ann@example.com"))
    ann = create_with_emails(1, email="ann@example.com")
    pipeline.run_rounds(6)
    (held,) = leadline("held", "--json").json["held"]
    assert held["user_id"] == ann
    assert held["lead_ids"] == [by_phone, by_email]
    assert held["reason"] == (
        f"several open leads have this phone or e-mail: {by_phone}, {by_email}"
    )
    assert leadline("held", ann, "--link", by_email).code == 0
    pipeline.settle()
    found = all_leads(control)
    assert found[by_email]["ORIGIN_ID"] == str(ann)
    assert len(found) == 2


@pytest.mark.usefixtures("emails")
def test_a_contact_is_found_by_email(
    control: Control, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_duplicates(monkeypatch, "contact")
    contact_id = call_portal(
        "crm.contact.add", fields={"NAME": "Ann", "EMAIL": email_rows("ANN@example.com")}
    )
    create_with_emails(1, email="ann@example.com")
    pipeline.settle()
    (lead_id,) = all_leads(control)
    assert int(call_portal("crm.lead.get", id=lead_id)["CONTACT_ID"]) == contact_id


def test_nothing_is_searched_by_default(
    control: Control, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_duplicates(monkeypatch, "never")
    add_lead(1)
    create_user(1)
    pipeline.settle()
    assert len(all_leads(control)) == 2
    assert commands_sent(control, FIND) == 0


def test_two_users_with_one_phone_do_not_get_one_lead(control: Control, pipeline: Pipeline) -> None:
    add_lead(1)
    users = [create_user(1), create_user(1, "Partner")]
    pipeline.settle()
    origins = sorted(str(row["ORIGIN_ID"]) for row in all_leads(control).values())
    assert origins == [str(user_id) for user_id in users], "one is linked, one has its own lead"


def test_a_claim_that_another_user_holds_is_respected(control: Control, pipeline: Pipeline) -> None:
    """Two workers have read the same lead, and both are about to link it."""
    by_hand = add_lead(1)
    user_id = create_user(1)
    # User 900 has claimed the lead, for ten minutes.
    client().set(f"{work_queue().prefix}claim:{by_hand}", "900", px=600_000)
    pipeline.settle()
    found = all_leads(control)
    assert found[by_hand]["ORIGIN_ID"] in (None, "")
    assert [row["ORIGIN_ID"] for id_, row in found.items() if id_ != by_hand] == [str(user_id)]


def test_several_leads_hold_the_user_until_a_person_decides(
    control: Control, pipeline: Pipeline, leadline: Leadline
) -> None:
    doubles = [add_lead(1), add_lead(1)]
    held, other = create_user(1), create_user(2)
    pipeline.run_rounds(8)
    assert len(all_leads(control)) == 3
    states = rows("SELECT sync_status FROM users ORDER BY id")
    assert [row["sync_status"] for row in states] == ["waiting", "synced"]
    listed = leadline("held", "--json")
    assert (listed.code, [held_user["user_id"] for held_user in listed.json["held"]]) == (1, [held])
    assert listed.json["held"][0]["lead_ids"] == doubles
    output = leadline("show", held, "--json").json
    assert (output["why"]["code"], output["sync"]["held"]["lead_ids"]) == ("whyHeld", doubles)
    status = leadline("status", "--json").json
    assert status["ledger"]["held"] == 1
    assert "1 user held for an operator; leadline held" in status["attention"]
    assert rows("SELECT state FROM events WHERE user_id = :id", id=held) == [{"state": "open"}]
    assert leadline("held", held, "--link", 999).code == 2
    assert leadline("held", other, "--create").code == 2
    assert leadline("held", held, "--link", doubles[1]).code == 0
    pipeline.settle()
    found = all_leads(control)
    assert (found[doubles[1]]["ORIGIN_ID"], len(found)) == (str(held), 3)
    assert leadline("held").code == 0
    assert b"link held user" in leadline("audit", "--orders").out


def test_a_held_user_stays_held_when_redis_loses_all(
    control: Control, pipeline: Pipeline, leadline: Leadline
) -> None:
    doubles = [add_lead(1), add_lead(1)]
    held = create_user(1)
    pipeline.run_rounds(6)

    def run_after_republication() -> bool:
        """Run a round after the time of the relay's next republication."""
        execute("UPDATE events SET due_at = now() WHERE state = 'open'")
        return pipeline.run_round()

    client().flushdb()
    for _ in range(6):
        run_after_republication()
    assert len(all_leads(control)) == 2, "no lead is created"
    (held_user,) = leadline("held", "--json").json["held"]
    assert (held_user["user_id"], held_user["lead_ids"]) == (held, doubles)
    assert leadline("held", held, "--link", doubles[0]).code == 0
    eventually(run_after_republication, 60, "every event is settled")
    assert all_leads(control)[doubles[0]]["ORIGIN_ID"] == str(held)


def test_a_held_user_can_get_a_lead_of_its_own(
    control: Control, pipeline: Pipeline, leadline: Leadline
) -> None:
    add_lead(1)
    add_lead(1)
    held = create_user(1)
    pipeline.run_rounds(6)
    assert leadline("held", held, "--create").code == 0
    pipeline.settle()
    origins = [row["ORIGIN_ID"] for row in all_leads(control).values()]
    assert origins.count(str(held)) == 1
    assert len(origins) == 3


def test_a_held_user_is_synced_once_the_duplicate_lead_is_deleted(
    control: Control, pipeline: Pipeline
) -> None:
    first, second = add_lead(1), add_lead(1)
    held = create_user(1)
    pipeline.run_rounds(6)
    call_portal("crm.lead.delete", id=first)
    execute("UPDATE events SET due_at = now() WHERE due_at IS NOT NULL")
    pipeline.settle()
    assert all_leads(control)[second]["ORIGIN_ID"] == str(held)


def test_a_held_user_is_synced_with_its_newest_write(
    control: Control, pipeline: Pipeline, leadline: Leadline
) -> None:
    add_lead(1)
    second = add_lead(1)
    held = create_user(1)
    pipeline.run_rounds(6)
    accept.change(held, Changes(full_name="Newer"), expected_version=None, key=None)
    pipeline.run_rounds(6)
    assert leadline("held", "--json").json["held"][0]["version"] == 2
    leadline("held", held, "--link", second)
    pipeline.settle()
    assert all_leads(control)[second]["TITLE"] == "Newer"
    states = rows("SELECT state FROM events ORDER BY version")
    assert [row["state"] for row in states] == ["superseded", "superseded", "synced"]


def test_a_lead_closed_after_the_search_is_not_linked(control: Control, pipeline: Pipeline) -> None:
    by_hand = add_lead(1)
    user_id = create_user(1)
    pipeline.publish()
    pipeline.deliver("bitrix_queue")
    pipeline.call()  # finds the lead
    call_portal("crm.lead.update", id=by_hand, fields={"STATUS_ID": "JUNK"})
    pipeline.settle()
    found = all_leads(control)
    assert found[by_hand]["ORIGIN_ID"] in (None, "")
    assert [row["ORIGIN_ID"] for id_, row in found.items() if id_ != by_hand] == [str(user_id)]


def test_an_expired_duplicate_search_is_repeated(
    control: Control, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_id = create_user(1)
    pipeline.publish()
    pipeline.deliver("bitrix_queue")
    pipeline.call()  # finds nothing
    by_hand = add_lead(1)
    with monkeypatch.context() as patched:
        patched.setattr("leadline.sync.duplicates.rules.FRESH_MS", -1)
        pipeline.call()
    assert commands_sent(control, FIND) == 2
    pipeline.settle()
    assert all_leads(control)[by_hand]["ORIGIN_ID"] == str(user_id)


def test_lost_answers_link_each_user_once(
    control: Control, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of call loses its answer once: find, read, link, create."""
    by_hand = [add_lead(number) for number in range(1, 5)]
    users = [create_user(number) for number in range(1, 9)]
    send = batch_call.BatchCall._send  # noqa: SLF001 - the answer is lost on its way
    sent: list[object] = []

    def lose_every_other_answer(self: Any, commands: dict[str, Command]) -> Any:
        answer = send(self, commands)
        sent.append(commands)
        if commands and len(sent) % 2:
            lost = OutcomeUnknown("lost", may_still_run=False)
            self._error = lost
            return BatchResponse(dict.fromkeys(commands, lost), {})
        return answer

    monkeypatch.setattr(batch_call.BatchCall, "_send", lose_every_other_answer)
    pipeline.settle()
    found = all_leads(control)
    assert len(found) == 8
    assert sorted(int(row["ORIGIN_ID"]) for row in found.values()) == users
    assert [found[lead_id]["ORIGIN_ID"] for lead_id in by_hand] == [
        str(user_id) for user_id in users[:4]
    ]


def test_more_leads_than_an_answer_holds_are_looked_up_alone(
    control: Control, pipeline: Pipeline
) -> None:
    for _ in range(20):
        add_lead(1)
    by_hand = add_lead(2)
    held, linked = create_user(1), create_user(2)
    pipeline.run_rounds(10)
    assert all_leads(control)[by_hand]["ORIGIN_ID"] == str(linked)
    assert rows("SELECT user_id FROM held_users") == [{"user_id": held}]


def add_contact(number: int) -> int:
    """Add a contact as a person does, with the phone in national notation; returns its id."""
    contact_id: int = call_portal(
        "crm.contact.add", fields={"NAME": "By Hand", "PHONE": [{"VALUE": national_phone(number)}]}
    )
    return contact_id


def test_a_new_lead_is_attached_to_the_contact_with_its_phone(
    control: Control,
    pipeline: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    leadline: Leadline,
) -> None:
    set_duplicates(monkeypatch, "contact")
    contact_id = add_contact(1)
    add_contact(2)
    add_contact(2)
    add_lead(3)
    users = [create_user(number) for number in range(1, 4)]
    lines = {line["user_id"]: line for line in leadline("plan", "--json").lines if "kind" in line}
    assert lines[users[0]]["contact_ids"] == [contact_id]
    pipeline.settle()
    lead_ids = {row["ORIGIN_ID"]: row["ID"] for row in control("leads") if row["ORIGIN_ID"]}
    assert len(lead_ids) == 3, "with contact alone, no lead is linked"
    attached = {
        origin: call_portal("crm.lead.get", id=lead_id)["CONTACT_ID"]
        for origin, lead_id in lead_ids.items()
    }
    assert int(attached[str(users[0])]) == contact_id
    assert [attached[str(user_id)] or 0 for user_id in users[1:]] == [0, 0], "two contacts, or none"


def test_several_contacts_hold_a_user(
    control: Control, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, leadline: Leadline
) -> None:
    set_duplicates(monkeypatch, "hold,contact")
    both = [add_contact(1), add_contact(1)]
    held = create_user(1)
    pipeline.run_rounds(6)
    assert leadline("held", "--json").json["held"][0]["contact_ids"] == both
    assert leadline("held", held, "--create").code == 0
    pipeline.settle()
    assert [row["ORIGIN_ID"] for row in control("leads")] == [str(held)]
