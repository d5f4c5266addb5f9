"""Duplicates before create: when to search, which users to link, which to hold."""

from dataclasses import replace

import pytest

from leadline import process
from leadline.bitrix24.duplicates import Found, Search, parse_found
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.errors import OutcomeUnknown
from leadline.settings import settings
from leadline.sync import batch_request, decide, interpret
from leadline.sync.decide import AHEAD_MS, Find, Lookup, Plan, Read, Write
from leadline.sync.duplicates import rules
from leadline.sync.duplicates.rules import FRESH_MS
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import PendingEvent
from tests.unit.entries import STATE, entry, found_lead, known_entry, pending

NOW_MS = 1_800_000_000_000
BY_HAND = found_lead(8, origin="", originator="")


@pytest.fixture(autouse=True)
def _hold(monkeypatch: pytest.MonkeyPatch) -> None:
    set_duplicates(monkeypatch, "hold")


def set_duplicates(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Set `LEADLINE_DUPLICATES`: what to do about a lead that may be the user's."""
    monkeypatch.setenv("LEADLINE_DUPLICATES", value)
    process.forget(settings)


def leased_entry(search: Search | None = None, *, at_ms: int = NOW_MS, **extra: object) -> Entry:
    fence = str(at_ms * 1000)  # a fencing token is the time of the lease in microseconds
    return replace(entry(pending()), fence=fence, search=search, **extra)  # type: ignore[arg-type]


def plan_of(leased: Entry) -> Plan:
    return rules.plan(leased, decide.plan(leased))


def finished_search(**extra: object) -> Search:
    """A search that found two leads, which were not read yet."""
    return replace(Search(NOW_MS, lead_ids=(8, 9)), **extra)  # type: ignore[arg-type]


def test_a_create_is_preceded_by_a_search_and_a_read() -> None:
    assert plan_of(leased_entry()) == Find()
    assert plan_of(leased_entry(finished_search())) == Read()
    assert isinstance(plan_of(leased_entry(finished_search(is_read=True))), Write)


def test_the_result_of_a_duplicate_search_expires() -> None:
    old = finished_search(is_read=True, at_ms=NOW_MS - FRESH_MS)
    assert isinstance(plan_of(leased_entry(old)), Write)
    assert plan_of(leased_entry(replace(old, at_ms=old.at_ms - 1))) == Find()


def test_no_duplicates_are_searched_if_an_operator_or_the_setting_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert isinstance(plan_of(leased_entry(creates_anyway=True)), Write)
    set_duplicates(monkeypatch, "never")
    assert isinstance(plan_of(leased_entry()), Write)


def test_an_update_is_not_preceded_by_a_search() -> None:
    changed = replace(known_entry(pending(2)), state=replace(STATE, full_name="New"))
    assert isinstance(plan_of(changed), Write)


def test_a_lead_without_an_origin_is_read_again_before_it_is_written_late() -> None:
    linked = replace(known_entry(pending(2)), lacks_origin=True, linked_at_ms=NOW_MS)
    in_time = replace(linked, fence=str((NOW_MS + FRESH_MS) * 1000))
    assert isinstance(plan_of(in_time), Write)
    assert plan_of(replace(linked, fence=str((NOW_MS + FRESH_MS + 1) * 1000))) == Lookup()


def test_a_search_whose_answer_may_lack_ids_is_repeated_alone() -> None:
    full = Found(tuple(range(20)), is_complete=False)
    shared = rules.settle_found(leased_entry(), full, found_contacts=None, now_ms=NOW_MS)
    assert shared.fields == {"alone": 1}
    alone = rules.settle_found(
        leased_entry(needs_own_request=True), full, found_contacts=None, now_ms=NOW_MS
    )
    assert Search.loads(bytes(alone.fields["search"])).lead_ids == full.ids  # type: ignore[arg-type]


def test_a_search_that_finds_nothing_needs_no_read() -> None:
    settled = rules.settle_found(
        leased_entry(), Found((), is_complete=True), found_contacts=None, now_ms=NOW_MS
    )
    assert Search.loads(bytes(settled.fields["search"])).is_read  # type: ignore[arg-type]
    assert settled.delay_ms == AHEAD_MS, "before all that wait: the result expires soon"


def test_the_one_open_lead_is_linked() -> None:
    settled = rules.settle_read(
        leased_entry(finished_search()), [BY_HAND], contacts_read=[], now_ms=NOW_MS
    )
    assert settled.fields["lacks_origin"] == 1
    assert settled.fields["linked_at"] == NOW_MS
    assert b'"lead_id":8' in settled.fields["agreed"]  # type: ignore[operator]


@pytest.mark.parametrize(
    "other",
    [
        replace(BY_HAND, lead_id=9, semantics="F"),
        replace(BY_HAND, lead_id=9, stage="CONVERTED"),
        replace(BY_HAND, lead_id=9, origin="900"),
        replace(BY_HAND, lead_id=9, originator="another"),
        replace(BY_HAND, lead_id=9, phones=(("+77001112234", 1),)),
    ],
    ids=str,
)
def test_closed_owned_and_other_leads_do_not_count(other: FoundLead) -> None:
    settled = rules.settle_read(
        leased_entry(finished_search()), [BY_HAND, other], contacts_read=[], now_ms=NOW_MS
    )
    assert settled.fields["lacks_origin"] == 1
    unlinked = rules.settle_read(
        leased_entry(finished_search()), [other], contacts_read=[], now_ms=NOW_MS
    )
    assert Search.loads(bytes(unlinked.fields["search"])).is_read  # type: ignore[arg-type]


def outcome(event: PendingEvent) -> str | None:
    return event.outcome.status if event.outcome else None


def test_several_leads_hold_the_user_and_name_them() -> None:
    double = [BY_HAND, replace(BY_HAND, lead_id=9)]
    settled = rules.settle_read(
        leased_entry(finished_search()), double, contacts_read=[], now_ms=NOW_MS
    )
    (event,) = settled.events
    assert outcome(event) == "held"
    assert event.outcome is not None
    assert event.outcome.lead_ids == (8, 9)
    loaded = PendingEvent.loads(event.stored())
    assert loaded.outcome == event.outcome


def test_the_setting_link_does_not_hold_a_user_with_several_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_duplicates(monkeypatch, "link")
    double = [BY_HAND, replace(BY_HAND, lead_id=9)]
    settled = rules.settle_read(
        leased_entry(finished_search()), double, contacts_read=[], now_ms=NOW_MS
    )
    assert settled.events == ()
    assert Search.loads(bytes(settled.fields["search"])).is_read  # type: ignore[arg-type]


def test_the_one_contact_is_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    set_duplicates(monkeypatch, "contact")
    contact = replace(BY_HAND, lead_id=31)
    settled = rules.settle_read(
        leased_entry(finished_search(contact_ids=(31,))), [], [contact], NOW_MS
    )
    search = Search.loads(bytes(settled.fields["search"]))  # type: ignore[arg-type]
    assert (search.is_read, search.contact_id) == (True, 31)
    write = plan_of(leased_entry(search))
    assert isinstance(write, Write)
    assert write.command.params["fields"]["contactId"] == 31
    twice = [contact, replace(contact, lead_id=32)]
    unlinked = rules.settle_read(
        leased_entry(finished_search(contact_ids=(31, 32))), [], twice, NOW_MS
    )
    assert Search.loads(bytes(unlinked.fields["search"])).contact_id is None  # type: ignore[arg-type]


def test_a_lead_that_another_user_takes_is_left_out() -> None:
    linked = replace(
        leased_entry(finished_search(linked=8)),
        last_applied=BY_HAND.last_applied(STATE),
        lacks_origin=True,
    )
    settled = rules.settle_taken(linked)
    search = Search.loads(bytes(settled.fields["search"]))  # type: ignore[arg-type]
    assert (search.taken, settled.fields["agreed"], settled.events) == ((8,), "", ())
    unlinked = rules.settle_read(leased_entry(search), [BY_HAND], contacts_read=[], now_ms=NOW_MS)
    assert Search.loads(bytes(unlinked.fields["search"])).is_read  # type: ignore[arg-type]


def test_a_claim_of_a_sender_fails_if_another_user_takes_the_lead() -> None:
    claimed = replace(leased_entry(), last_applied=BY_HAND.last_applied(STATE), lacks_origin=True)
    settled = rules.settle_taken(claimed)
    assert [outcome(event) for event in settled.events] == ["failed"]


def test_users_share_the_commands_of_a_search() -> None:
    entries = [replace(leased_entry(), user_id=user_id) for user_id in range(1, 15)]
    request = batch_request.build(entries, plan_of)
    # Three notations of each phone, and at most 20 values in a command: six users share it.
    assert [len(command.params["values"]) for command in request.commands.values()] == [18, 18, 6]
    reading = [replace(leased, search=finished_search()) for leased in entries]
    (command,) = batch_request.build(reading, plan_of).commands.values()
    assert command.params["filter"] == {"@ID": [8, 9]}


def test_quiet_users_share_an_import_if_the_portal_supports_it() -> None:
    quiet = [
        replace(leased_entry(creates_anyway=True, is_quiet=True), user_id=user_id)
        for user_id in range(1, 26)
    ]
    other = replace(leased_entry(creates_anyway=True), user_id=40)
    request = batch_request.build([*quiet, other], plan_of, imports=True)
    methods = [command.method for command in request.commands.values()]
    assert methods == ["crm.item.batchImport", "crm.item.batchImport", "crm.item.add"]
    assert [len(command.params["data"]) for command in list(request.commands.values())[:2]] == [
        20,
        5,
    ]
    assert [step.position for step in request.steps] == [*range(20), *range(5), None]
    without_imports = batch_request.build([*quiet, other], plan_of)
    assert {command.method for command in without_imports.commands.values()} == {"crm.item.add"}


@pytest.mark.parametrize("answer", [None, "x", [1], {"LEAD": "x"}, {"LEAD": ["x"]}, {"LEAD": None}])
def test_an_unreadable_answer_is_no_answer(answer: object) -> None:
    with pytest.raises(OutcomeUnknown):
        parse_found(answer, "LEAD")


def test_an_answer_without_an_entity_means_no_duplicates_of_that_entity() -> None:
    assert parse_found([], "LEAD") == Found((), is_complete=True)
    assert parse_found({"CONTACT": [1]}, "LEAD") == Found((), is_complete=True)
    assert parse_found({"LEAD": ["7", 5]}, "LEAD").ids == (5, 7)


def test_a_lead_that_the_portal_rejects_in_an_import_fails_alone() -> None:
    quiet = [
        replace(leased_entry(creates_anyway=True, is_quiet=True), user_id=user_id)
        for user_id in range(1, 4)
    ]
    request = batch_request.build(quiet, plan_of, imports=True)
    items = [
        {"item": {"id": 71}},
        {"error": "CRM_FIELD_ERROR_REQUIRED", "error_description": "A field is required"},
    ]
    (key,) = request.commands
    settled = [interpret.settle(step, {key: {"items": items}}, NOW_MS) for step in request.steps]
    events = [event for settlement in settled for event in settlement.events]
    assert [outcome(event) for event in events] == ["synced", "failed", None]
    assert events[0].outcome is not None
    assert events[0].outcome.lead_id == 71
    assert settled[2].fields["doubt"] == 1, "the answer lacks it: it is looked up first"
