"""The rules of an erasure, against a portal that loses answers, loses leads and restores names."""

from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline import process
from leadline.bitrix24 import leads
from leadline.bitrix24.command import Command
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.bitrix24.leads import DesiredState
from leadline.errors import LeadGone, OutcomeUnknown, Unavailable
from leadline.messages.contract import ERASED_NAME
from leadline.settings import settings
from leadline.sync.decide import Lookup, NoCall, Write
from leadline.sync.erasure import rules
from leadline.workqueue.entries.entry import Entry
from leadline.workqueue.entries.pending_event import PendingEvent
from leadline.workqueue.entries.settlement import Settlement
from tests.unit.entries import entry, found_lead, pending

#: In milliseconds.
NOW = 1_000_000
#: The desired state of an erased user.
ERASED = DesiredState(ERASED_NAME, "", None)
PERSON = ("Ann Lee", "Somebody", "+7700")

Fate = Literal["answer", "answer lost", "request lost", "gone"]


@dataclass
class Portal:
    """The user's leads by id, and the fates of the next writes; later ones are answered."""

    leads: dict[int, FoundLead]
    fates: list[Fate]

    def write(self, command: Command) -> Fate:
        fate: Fate = self.fates.pop(0) if self.fates else "answer"
        lead_id = command.params["id"]
        if lead_id not in self.leads:
            return "gone"
        if fate == "gone" or (fate != "request lost" and command.method == leads.DELETE):
            del self.leads[lead_id]
        elif fate != "request lost":
            name = command.params["fields"]["title"]
            rows = {int(row_id) for row_id in command.params["fields"].get("fm", {})}
            before = self.leads[lead_id]
            phones = tuple((number, row) for number, row in before.phones if row not in rows)
            self.leads[lead_id] = replace(before, title=name, name=name, phones=phones)
        return fate


def erased_entry(*events: PendingEvent, **extra: object) -> Entry:
    extra = {"state": ERASED, "erased": "1", "lookup_requested_seq": events[0].seq, **extra}
    return entry(*events, **extra)


def leased_after(before: Entry, settlement: Settlement) -> Entry:
    """The entry as it is leased after the settlement was written to Redis."""
    content = {
        b"fence": b"1", b"erased": before.erased.encode(),
        b"erased_leads": ",".join(map(str, before.erased_leads)).encode(),
    }  # fmt: skip
    if before.needs_lookup:
        content[b"doubt"] = b"1"
    for name, value in settlement.fields.items():
        text = value if isinstance(value, bytes) else str(value).encode()
        content[name.encode()] = text
    parsed = Entry.loads(b"7", {name: text for name, text in content.items() if text}, [])
    return replace(
        before,
        last_applied=parsed.last_applied if "agreed" in settlement.fields else before.last_applied,
        needs_lookup=parsed.needs_lookup,
        erased=parsed.erased,
        erased_leads=parsed.erased_leads,
        phone_rows=parsed.phone_rows,
        lookup_done_seq=parsed.lookup_done_seq or before.lookup_done_seq,
        events=settlement.events or before.events,
    )


def step(leased: Entry, portal: Portal) -> Settlement:
    """The next step of a worker for this user: its call at the portal, settled."""
    match rules.plan(leased):
        case Lookup():
            listed = sorted(portal.leads.values(), key=lambda lead: lead.lead_id)
            return rules.settle_lookup(leased, listed, NOW)
        case Write(command):
            fate = portal.write(command)
            if fate == "gone":
                return rules.settle_failure(leased, LeadGone("gone"), NOW, is_write=True)
            if fate == "answer":
                return rules.settle_written(leased)
            return rules.settle_failure(leased, OutcomeUnknown("lost"), NOW, is_write=True)
        case NoCall():
            return rules.settle_done(leased)


def play(portal: Portal, leased: Entry, steps: int = 60) -> tuple[Entry, list[Settlement]]:
    """Take steps until all events have an outcome: the entry then, and every settlement.

    60 steps are far more than five leads and two lost calls need.
    """
    settlements: list[Settlement] = []
    for _ in range(steps):
        settlement = step(leased, portal)
        settlements.append(settlement)
        leased = leased_after(leased, settlement)
        if all(event.outcome for event in leased.events):
            return leased, settlements
    raise AssertionError("no outcome")


def set_mode(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Set what an erasure does to the lead: blank it, delete it or keep it."""
    monkeypatch.setenv("LEADLINE_ERASE_LEAD", mode)
    process.forget(settings)


LEADS = st.lists(
    st.builds(
        FoundLead,
        lead_id=st.integers(1, 5),
        title=st.sampled_from([*PERSON[:2], ERASED_NAME]),
        name=st.sampled_from([*PERSON[:2], ERASED_NAME, ""]),
        phones=st.lists(
            st.tuples(st.just("+7700"), st.integers(1, 99)),
            max_size=3,
            unique_by=lambda pair: pair[1],
        ).map(tuple),
        stage=st.just("NEW"),
        origin=st.just("7"),
        originator=st.just("leadline"),
    ),
    max_size=4,
    unique_by=lambda lead: lead.lead_id,
)
FATES = st.lists(
    st.sampled_from(("answer", "answer lost", "request lost", "gone")), max_size=2
).map(list)


@pytest.mark.parametrize("mode", ["blank", "delete"])
def test_a_success_leaves_nothing_of_the_person(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Tried with any leads, and with up to two writes whose call or lead is lost."""
    set_mode(monkeypatch, mode)

    @given(LEADS, FATES)
    def check(listed: list[FoundLead], fates: list[Fate]) -> None:
        portal = Portal({lead.lead_id: lead for lead in listed}, fates)
        end, settlements = play(portal, erased_entry(pending(2)))
        (event,) = end.events
        assert event.outcome
        assert event.outcome.status == "synced"
        assert mode == "blank" or not portal.leads
        for lead in portal.leads.values():
            assert (lead.title, lead.name, lead.phones) == (ERASED_NAME, ERASED_NAME, ())
        possible = {"none", "deleted", "blanked" if portal.leads else None}
        assert event.outcome.lead in possible
        assert event.outcome.lead_id in {None, *portal.leads}
        # Nothing of the person was ever written to Redis.
        written = repr([settlement.fields for settlement in settlements])
        assert not [text for text in PERSON if text in written]

    check()


def test_names_that_the_crm_restores_end_as_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    set_mode(monkeypatch, "blank")

    class Restoring(Portal):
        def write(self, command: Command) -> Fate:
            assert command.method == leads.UPDATE
            return "answer"

    end, settlements = play(Restoring({55: found_lead()}, []), erased_entry(pending(2)))
    outcome = end.events[0].outcome
    assert outcome
    assert (outcome.status, outcome.is_transient) == ("failed", True)
    assert outcome.attempts == 3
    assert outcome.reason == rules.STILL_THERE
    # A millisecond or less lies between the steps of one attempt.
    retry_delays_ms = [delay for step_ in settlements if (delay := step_.delay_ms) > 1]
    assert retry_delays_ms == [2000, 4000]


def test_without_an_answer_an_erasure_fails_after_three_attempts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_mode(monkeypatch, "blank")
    leased = erased_entry(pending(2))
    for _ in range(3):
        leased = leased_after(leased, rules.settle_failure(leased, Unavailable("down"), NOW))
    assert leased.events[0].outcome
    assert leased.events[0].outcome.status == "failed"


def test_erasing_a_user_whose_lead_is_kept_makes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    set_mode(monkeypatch, "keep")
    leased = erased_entry(pending(2), claimed_lead_id=55)
    assert isinstance(rules.plan(leased), NoCall)
    outcome = rules.settle_done(leased).events[0].outcome
    assert outcome
    assert (outcome.lead, outcome.lead_id) == ("kept", 55)


def test_an_erasure_waits_while_a_lost_create_may_still_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_mode(monkeypatch, "blank")
    leased = erased_entry(pending(2), wait_until_ms=NOW + 9000)
    settlement = rules.settle_lookup(leased, [], NOW)
    assert settlement.events == ()
    assert 0 < settlement.delay_ms <= 9000
    assert rules.settle_lookup(leased, [found_lead()], NOW).fields["agreed"]


@pytest.mark.parametrize(("origin", "originator"), [("8", "leadline"), ("7", "others"), ("", "x")])
def test_the_lead_of_another_is_never_erased(
    monkeypatch: pytest.MonkeyPatch, origin: str, originator: str
) -> None:
    set_mode(monkeypatch, "delete")
    leased = erased_entry(pending(2), claimed_lead_id=55)
    other = found_lead(origin=origin, originator=originator)
    settlement = rules.settle_lookup_by_id(leased, other, NOW)
    assert settlement.events[0].outcome
    assert settlement.events[0].outcome.status == "failed"
    assert not settlement.fields["agreed"]


def test_older_events_are_superseded(monkeypatch: pytest.MonkeyPatch) -> None:
    set_mode(monkeypatch, "keep")
    events = rules.settle_done(erased_entry(pending(3), pending(2))).events
    assert [event.outcome and event.outcome.status for event in events] == ["synced", "superseded"]
