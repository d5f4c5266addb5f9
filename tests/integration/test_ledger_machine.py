"""The ledger against a model: any writes and replies, in any order and batch."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leadline.ledger import outbox, settle, write
from leadline.ledger.event import Event
from leadline.ledger.settle import ReceivedReply
from leadline.messages.contract import Reply
from leadline.users import queries
from leadline.users.model import Move, NewUser, UserId
from tests.integration.conftest import rows


@dataclass
class ExpectedEvent:
    """An event and its expected outcome."""

    event: Event
    state: str = "open"
    #: Whether the relay still has to publish it, now or later.
    is_due: bool = True
    sendings: int = 0


@dataclass
class ExpectedUser:
    """A user's events, one for each version, and its expected lead."""

    events: list[ExpectedEvent]
    #: The newest version with a success (0: none), and the lead that its reply named.
    newest_success: int = 0
    lead: int | None = None

    @property
    def user_id(self) -> UserId:
        """The user's id."""
        return self.events[0].event.user.id

    def succeed(self, expected: ExpectedEvent, outcome: str, lead: int) -> None:
        """Record the effects of a success."""
        if expected.state not in {"open", "failed"}:
            return
        expected.state = outcome
        expected.is_due = False
        if expected.event.version >= self.newest_success:
            self.newest_success = expected.event.version
            self.lead = lead
        for older in self.events[: expected.event.version - 1]:
            if outcome == "synced" and older.state == "open":
                older.state = "superseded"
                older.is_due = False


class Machine(RuleBasedStateMachine):
    """Writes, confirms and replies of a few users; the model is a list of expected users."""

    @initialize(count=st.integers(1, 3))
    def create(self, count: int) -> None:
        new = NewUser(full_name="Ann", phone="+77001112233")
        events = [write.create(new, key=None).event for _ in range(count)]
        self.users = [ExpectedUser([ExpectedEvent(event)]) for event in events]

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(self.users))
        event = write.change(
            user.user_id, Move(stage="JUNK"), expected_version=None, key=None
        ).event
        user.events.append(ExpectedEvent(event))

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """The broker's confirm may be recorded at any time, also after the reply."""
        _, expected = self._any_event(data)
        outbox.mark_published([str(expected.event.id)])
        expected.sendings += 1

    @rule(data=st.data(), count=st.integers(1, 6))
    def answer(self, data: st.DataObject, count: int) -> None:
        """One batch of any replies, some perhaps to the same event."""
        settle.apply([self._draw_reply(data) for _ in range(count)])

    @invariant()
    def each_event_has_its_outcome(self) -> None:
        for user in self.users:
            found = rows(
                "SELECT version, state, due_at IS NOT NULL AS is_due, sendings FROM events"
                " WHERE user_id = :id ORDER BY version",
                id=user.user_id,
            )
            assert found == [
                {
                    "version": expected.event.version,
                    "state": expected.state,
                    "is_due": expected.is_due,
                    "sendings": expected.sendings,
                }
                for expected in user.events
            ]

    @invariant()
    def the_user_shows_its_newest_outcome(self) -> None:
        for user in self.users:
            newest = user.events[-1]
            status = {"open": "waiting", "failed": "failed"}.get(newest.state, "synced")
            sync = queries.get(user.user_id)["sync"]
            assert (sync["status"], sync["bitrix_lead_id"]) == (status, user.lead)
            assert ("retry_at" in sync) == (newest.state == "failed" and newest.is_due)

    def _any_event(self, data: st.DataObject) -> tuple[ExpectedUser, ExpectedEvent]:
        user = data.draw(st.sampled_from(self.users))
        return user, data.draw(st.sampled_from(user.events))

    def _draw_reply(self, data: st.DataObject) -> ReceivedReply:
        """Draw a reply to any event, and record the effects of the reply in the model."""
        user, expected = self._any_event(data)
        event = expected.event
        fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
        outcome = data.draw(st.sampled_from(["synced", "superseded", "permanent", "transient"]))
        if outcome in {"synced", "superseded"}:
            lead = 1000 * event.user.id + event.version
            user.succeed(expected, outcome, lead)
            return ReceivedReply(Reply(**fields, status="success", bitrix_lead_id=lead), outcome)
        is_transient = outcome == "transient"
        if expected.state in {"open", "failed"}:
            expected.state = "failed"
            expected.is_due = expected.is_due and is_transient
        failure = Reply(**fields, status="error", reason="no")
        return ReceivedReply(failure, "failed", is_transient=is_transient)


@pytest.fixture(autouse=True)
def _database(in_postgres: str) -> None:
    assert in_postgres


TestTheLedger = Machine.TestCase
TestTheLedger.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
