"""First match: a plan lists what would be written, and `apply` writes only that."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest

from leadline import process
from leadline.bitrix24.command import Command
from leadline.errors import BitrixError
from leadline.ledger import accept
from leadline.ledger.erasure import erase
from leadline.operations import manual_hold
from leadline.operations.first_match import applying, comparison, planning, plans
from leadline.settings import settings
from leadline.sync import portal_session
from leadline.users.further_fields import with_fields
from leadline.users.model import Changes, NewUser, UserId
from tests.integration.conftest import CommandOutput, Control, execute, rows
from tests.integration.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("connected")

Leadline = Callable[..., CommandOutput]
#: How the names of methods end that change something in the portal.
WRITING = ("add", "update", "delete", "Import", "import")


def phone(number: int) -> str:
    return f"+7701{1_110_000 + number}"


def create_user(number: int, name: str = "") -> UserId:
    new_user = NewUser(full_name=name or f"User {number}", phone=phone(number))
    return accept.create(new_user, key=None).event.user.id


def create_failed_user(number: int) -> int:
    """Create a user without a lead and without an open event."""
    (row,) = rows(
        "INSERT INTO users (full_name, phone, stage, sync_status, sync_reason)"
        " VALUES (:name, :phone, 'NEW', 'failed', 'x') RETURNING id",
        name=f"User {number}",
        phone=phone(number),
    )
    return int(row["id"])


def call_portal(method: str, **params: object) -> Any:
    """A call to the portal by another client."""
    answer = portal_session.portal_client().call({"one": Command(method, params)}).results["one"]
    assert not isinstance(answer, BitrixError), answer.detail
    return answer


def add_lead(number: int, name: str = "By Hand", *, text: str = "", **fields: object) -> int:
    """Add a lead as a person does, with the phone in national notation or as `text`."""
    value = text or "8 (701) " + phone(number).removeprefix("+7701")
    phones = [{"VALUE": value, "VALUE_TYPE": "WORK"}]
    lead_id: int = call_portal(
        "crm.lead.add", fields={"TITLE": name, "NAME": name, "PHONE": phones, **fields}
    )
    return lead_id


def write_count(control: Control) -> int:
    """How many commands so far change something in the portal."""
    methods = control("calls")["methods"]
    return sum(n for name, n in methods.items() if name.endswith(WRITING))


def kinds(answer: CommandOutput) -> dict[int | None, str]:
    return {line["user_id"]: line["kind"] for line in answer.lines if "kind" in line}


def all_leads(control: Control) -> dict[int, dict[str, Any]]:
    return {int(row["ID"]): row for row in control("leads")}


@pytest.fixture
def paused(connected: None) -> None:
    """Pause calls, as while an existing CRM is compared."""
    assert connected is None
    manual_hold.hold("first match")


@pytest.mark.usefixtures("paused")
def test_a_plan_distinguishes_the_kinds_of_users_and_writes_nothing(
    leadline: Leadline, control: Control
) -> None:
    new, same, twice, shared, partner = (
        create_user(1),
        create_user(2),
        create_user(3),
        create_user(4),
        create_user(4, "Partner"),
    )
    closed, owned = create_user(5), create_user(6)
    matched = add_lead(2)
    doubles = [add_lead(3), add_lead(3, text=phone(3))]
    of_both = add_lead(4)
    add_lead(5, STATUS_ID="JUNK")
    add_lead(6, ORIGINATOR_ID="another", ORIGIN_ID="900")
    add_lead(7, text="+1 701 " + phone(2).removeprefix("+7701"))
    unknown = add_lead(8, ORIGINATOR_ID=portal_origin(), ORIGIN_ID="900000")
    before = write_count(control)
    output = leadline("plan", "--json")
    assert output.code == 2, output.err  # `apply` would write something
    assert write_count(control) == before, "a plan reads only"
    lines = {line["user_id"]: line for line in output.lines if "kind" in line}
    assert {user_id: lines[user_id]["kind"] for user_id in lines} == {
        new: "create",
        same: "match",
        twice: "ambiguous",
        shared: "ambiguous",
        partner: "ambiguous",
        closed: "create",
        owned: "create",
        None: "foreign",
    }
    assert (lines[same]["lead_id"], lines[twice]["lead_ids"]) == (matched, doubles)
    assert (lines[shared]["lead_ids"], lines[None]["lead_ids"]) == ([of_both], [unknown])
    assert lines[same]["changes"]["full_name"] == ["By Hand", "User 2"]
    assert rows("SELECT FROM match_keys") == [], "what found the leads is discarded"
    assert "3 ambiguous: users of these that wait get their own lead" in output.err


def portal_origin() -> str:
    return str(rows("SELECT originator_id FROM installation")[0]["originator_id"])


def test_apply_writes_its_list_and_the_next_plan_is_empty(
    leadline: Leadline, control: Control, pipeline: Pipeline
) -> None:
    manual_hold.hold("first match")
    new, same, twice = create_user(1), create_user(2), create_failed_user(3)
    matched = add_lead(2, STATUS_ID="PROCESSED")
    doubles = [add_lead(3), add_lead(3)]
    add_lead(9)
    assert leadline("plan").code == 2
    applied = leadline("apply", "--yes", "--json").json
    assert (applied["entered"], applied["changed"]) == (2, [])
    manual_hold.resume()
    pipeline.settle()
    found = all_leads(control)
    assert len(found) == 5, "one is new"
    assert (found[matched]["ORIGIN_ID"], found[matched]["TITLE"]) == (str(same), "User 2")
    assert found[matched]["STATUS_ID"] == "PROCESSED", "a stage set by a person stays"
    assert [row["VALUE"] for row in found[matched]["PHONE"]] == [phone(2)]
    assert [found[lead_id]["TITLE"] for lead_id in doubles] == ["By Hand", "By Hand"]
    (created,) = [row for row in found.values() if row["ORIGIN_ID"] == str(new)]
    assert created["TITLE"] == "User 1"
    next_plan = leadline("plan", "--json")
    assert (next_plan.code, kinds(next_plan)) == (0, {twice: "ambiguous"})
    assert next_plan.lines[-1]["summary"]["linked"] == 2
    assert leadline("apply", "--yes", "--json").json["entered"] == 0


@pytest.mark.usefixtures("paused")
def test_users_changed_since_the_plan_are_skipped_and_reported(
    leadline: Leadline, control: Control
) -> None:
    renamed, moved, claimed, late, gone, unchanged = (create_user(n) for n in range(1, 7))
    ids = {number: add_lead(number) for number in (2, 3, 5)}
    assert leadline("plan", "--json").code == 2
    accept.change(renamed, Changes(full_name="Another"), expected_version=None, key=None)
    call_portal("crm.lead.update", id=ids[2], fields={"STATUS_ID": "JUNK"})
    call_portal("crm.lead.update", id=ids[3], fields={"ORIGINATOR_ID": "x", "ORIGIN_ID": "1"})
    add_lead(4)
    call_portal("crm.lead.delete", id=ids[5])
    before = write_count(control)
    output = leadline("apply", "--yes", "--json")
    assert (output.code, output.json["entered"]) == (1, 1)
    assert output.json["changed"] == [renamed, moved, claimed, late, gone]
    assert write_count(control) == before, "workers write, not the command"
    assert rows("SELECT version FROM users WHERE id = :id", id=unchanged) == [{"version": 2}]
    assert leadline("apply", "--yes", "--json").json["changed"] == [], "each line counts once"


@pytest.mark.usefixtures("paused")
def test_changes_after_apply_create_no_duplicate(
    leadline: Leadline, control: Control, pipeline: Pipeline
) -> None:
    renamed, moved, gone, claimed, erased = (create_user(number) for number in range(1, 6))
    ids = {number: add_lead(number) for number in range(1, 6)}
    assert leadline("plan").code == 2
    assert leadline("apply", "--yes", "--json").json["entered"] == 5
    accept.change(renamed, Changes(full_name="Another"), expected_version=None, key=None)
    accept.change(moved, Changes(phone=phone(99)), expected_version=None, key=None)
    call_portal("crm.lead.delete", id=ids[3])
    call_portal("crm.lead.update", id=ids[4], fields={"ORIGINATOR_ID": "x", "ORIGIN_ID": "1"})
    erase.erase(erased)
    manual_hold.resume()
    pipeline.run_rounds(8)
    found = all_leads(control)
    assert (found[ids[1]]["TITLE"], found[ids[1]]["ORIGIN_ID"]) == ("Another", str(renamed))
    assert found[ids[2]]["ORIGIN_ID"] == str(moved)
    assert [row["VALUE"] for row in found[ids[2]]["PHONE"]] == [phone(99)]
    (created,) = [row for row in found.values() if row["ORIGIN_ID"] == str(gone)]
    assert int(created["ID"]) not in ids.values()
    assert (found[ids[4]]["TITLE"], found[ids[4]]["ORIGIN_ID"]) == ("By Hand", "1")
    reasons = rows("SELECT sync_reason, bitrix_lead_id FROM users WHERE id = :id", id=claimed)
    assert "belongs to another installation" in reasons[0]["sync_reason"]
    assert reasons[0]["bitrix_lead_id"] is None
    assert "User 5" not in str(found[ids[5]])
    assert leadline("resync", claimed, "--yes").code == 0
    pipeline.settle()
    found = all_leads(control)
    assert len(found) == 6, "one for the deleted lead, one for the taken one"
    assert [row["ORIGIN_ID"] for row in found.values()].count(str(claimed)) == 1
    assert leadline("plan").code == 0


@pytest.mark.usefixtures("paused")
def test_a_lead_that_another_user_has_taken_fails_only_its_line(leadline: Leadline) -> None:
    first, second = create_user(1), create_user(2)
    add_lead(1)
    theirs = add_lead(2)
    plan = make_plan()
    execute("UPDATE users SET bitrix_lead_id = :lead WHERE id = :id", lead=theirs, id=first)
    (applied,) = applying.steps(plan)
    assert (applied.entered, applied.changed) == ([], [first, second])
    assert leadline("plan", "--json").code == 2


def make_plan() -> plans.Plan:
    """Make a plan as the command does; returns its final state."""
    plan = plans.begin()
    for step in planning.steps(plan):
        plan = step
    return plan


@pytest.mark.usefixtures("paused")
def test_an_interrupted_plan_continues_and_lists_each_user_once(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    monkeypatch.setattr("leadline.sync.reconcile.scan.USERS_PER_CALL", 2)
    ids = [create_user(number) for number in range(1, 8)]
    add_lead(3)
    plan = plans.begin()
    list(islice(planning.steps(plan), 4))  # interrupted after four steps
    commands_before = control("calls")["commands"]
    output = leadline("plan", "--json")
    assert "continuing plan 1" in output.err
    assert sorted(line["user_id"] for line in output.lines if "kind" in line) == ids
    assert control("calls")["commands"] > commands_before
    with pytest.raises(Exception, match="another run continues"):
        list(planning.steps(plan))


@pytest.mark.usefixtures("paused")
def test_an_apply_that_was_killed_continues(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "BATCH", 2)
    ids = [create_user(number) for number in range(1, 6)]
    leadline("plan")
    found = plans.find()
    assert found is not None
    next(applying.steps(found))
    output = leadline("apply", "--yes", "--json")
    assert (output.code, output.json["entered"]) == (0, 3)
    assert rows("SELECT id FROM users WHERE version = 2 ORDER BY id") == [
        {"id": user_id} for user_id in ids
    ]


@pytest.mark.usefixtures("paused")
def test_an_erasure_removes_the_person_from_plans(leadline: Leadline) -> None:
    person = create_user(1, "Secret Name")
    add_lead(1, "Other Name")
    leadline("plan")
    assert b"Secret Name" in leadline("plan", 1).out
    leadline("erase", person, "--yes")
    assert b"Secret Name" not in leadline("plan", 1).out
    assert b"Other Name" not in leadline("plan", 1).out
    assert leadline("apply", "--yes", "--json").json["changed"] == [person]


@pytest.mark.usefixtures("paused")
def test_a_plan_matches_by_email_too(
    leadline: Leadline,
    control: Control,
    pipeline: Pipeline,
    field_map: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    field_map('[fields.email]\ntype = "email"\nlead = "EMAIL"\n')

    def create_with_email(number: int, email: str) -> int:
        content = {"full_name": f"User {number}", "phone": phone(number), "email": email}
        new_user = with_fields(NewUser).model_validate(content)
        return accept.create(new_user, key=None).event.user.id

    ann, bob, cid = (create_with_email(n, f"{n}@example.com") for n in (1, 2, 3))
    by_email = add_lead(900, EMAIL=[{"VALUE": "other@example.com"}, {"VALUE": " 1@EXAMPLE.com"}])
    several = [add_lead(2), add_lead(901, EMAIL=[{"VALUE": "2@example.com"}])]
    add_lead(902, EMAIL=[{"VALUE": "33@example.com"}])
    before = write_count(control)
    plan = leadline("plan", "--json")
    assert write_count(control) == before
    assert kinds(plan) == {ann: "match", bob: "ambiguous", cid: "create"}
    by_user = {line["user_id"]: line for line in plan.lines if "kind" in line}
    assert by_user[ann]["lead_id"] == by_email
    assert by_user[bob]["lead_ids"] == several
    manual_hold.resume()
    monkeypatch.setenv("LEADLINE_DUPLICATES", "hold")
    process.forget(settings)
    assert leadline("apply", "--yes").code == 0
    pipeline.run_rounds(10)
    origins = {id_: str(row["ORIGIN_ID"] or "") for id_, row in all_leads(control).items()}
    assert origins[by_email] == str(ann)
    assert [origins[lead_id] for lead_id in several] == ["", ""]
    assert sorted(filter(None, origins.values())) == [str(ann), str(cid)]
    next_plan = leadline("plan", "--json")
    assert kinds(next_plan) == {bob: "ambiguous"}
    assert "ambiguous" not in next_plan.err, "no warning, as a held user gets no lead of its own"


@pytest.mark.usefixtures("paused")
def test_a_user_that_is_erased_while_it_is_compared_is_not_quoted(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = create_user(1, "Secret Name")
    add_lead(1, "Other Name")
    compare = comparison.lines_of

    def compare_and_erase(*args: Any) -> dict[int, Any]:
        lines = compare(*args)
        erase.erase(person)
        return lines

    monkeypatch.setattr(comparison, "lines_of", compare_and_erase)
    leadline("plan")
    assert rows("SELECT changes FROM match_lines") == [{"changes": None}]


@pytest.mark.usefixtures("paused")
def test_apply_asks_and_names_its_plan(leadline: Leadline) -> None:
    assert leadline("apply").code == 2
    create_user(1)
    leadline("plan")
    refused = leadline("apply", 1, typed="n\n")
    assert refused.code == 2
    assert "Apply plan 1 (create 1)?" in refused.err
    assert leadline("apply", 7, "--yes").code == 1
    assert leadline("plan", 7).code == 1
    assert leadline("apply", 1, typed="y\n").code == 0
