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
from leadline.users.model import Move, NewUser
from tests.integration.conftest import rows


@dataclass
class Fate:
    """The outcome of one event."""

    event: Event
    state: str = "open"
    #: Whether the relay still has to publish it, now or later.
    is_due: bool = True
    sendings: int = 0


@dataclass
class Owner:
    """A user: the outcome of each version, and the lead of the newest applied one."""

    fates: list[Fate]
    synced: int = 0
    lead: int | None = None

    def succeed(self, fate: Fate, outcome: str, lead: int) -> None:
        """The effect of a success."""
        if fate.state not in {"open", "failed"}:
            return
        fate.state, fate.is_due = outcome, False
        if fate.event.version >= self.synced:
            self.synced, self.lead = fate.event.version, lead
        for older in self.fates[: fate.event.version - 1]:
            if outcome == "synced" and older.state == "open":
                older.state, older.is_due = "superseded", False


class Machine(RuleBasedStateMachine):
    """The model: independent users, each answered in order."""

    @initialize(users=st.integers(1, 3))
    def create(self, users: int) -> None:
        new = NewUser(full_name="Ann", phone="+77001112233")
        self.owners = [Owner([Fate(write.create(new, None).event)]) for _ in range(users)]

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(self.owners))
        user = owner.fates[0].event.user.id
        owner.fates.append(Fate(write.change(user, Move(stage="JUNK"), None, None).event))

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """The broker's confirm may be recorded at any time, also after the reply."""
        _, fate = self._any(data)
        outbox.mark_published([str(fate.event.id)])
        fate.sendings += 1

    @rule(data=st.data(), count=st.integers(1, 6))
    def answer(self, data: st.DataObject, count: int) -> None:
        """One batch of any replies, some perhaps to the same event."""
        settle.apply([self._answer(data) for _ in range(count)])

    @invariant()
    def each_event_has_its_outcome(self) -> None:
        for owner in self.owners:
            found = rows(
                "SELECT version, state, due_at IS NOT NULL AS is_due, sendings FROM events"
                " WHERE user_id = :id ORDER BY version",
                id=owner.fates[0].event.user.id,
            )
            assert found == [
                {
                    "version": fate.event.version,
                    "state": fate.state,
                    "is_due": fate.is_due,
                    "sendings": fate.sendings,
                }
                for fate in owner.fates
            ]

    @invariant()
    def the_user_shows_the_newest(self) -> None:
        for owner in self.owners:
            newest = owner.fates[-1]
            expected = {"open": "waiting", "failed": "failed"}.get(newest.state, "synced")
            sync = queries.get(newest.event.user.id)["sync"]
            assert (sync["status"], sync["bitrix_lead_id"]) == (expected, owner.lead)
            assert ("retry_at" in sync) == (newest.state == "failed" and newest.is_due)

    def _any(self, data: st.DataObject) -> tuple[Owner, Fate]:
        owner = data.draw(st.sampled_from(self.owners))
        return owner, data.draw(st.sampled_from(owner.fates))

    def _answer(self, data: st.DataObject) -> ReceivedReply:
        owner, fate = self._any(data)
        event = fate.event
        fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
        outcome = data.draw(st.sampled_from(["synced", "superseded", "failed", "passing"]))
        if outcome in {"synced", "superseded"}:
            lead = 1000 * event.user.id + event.version
            owner.succeed(fate, outcome, lead)
            return ReceivedReply(Reply(**fields, status="success", bitrix_lead_id=lead), outcome)
        if fate.state in {"open", "failed"}:
            fate.state, fate.is_due = "failed", fate.is_due and outcome == "passing"
        failure = Reply(**fields, status="error", reason="no")
        return ReceivedReply(failure, "failed", is_transient=outcome == "passing")


@pytest.fixture(autouse=True)
def _database(in_postgres: str) -> None:
    assert in_postgres


TestTheLedger = Machine.TestCase
TestTheLedger.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
