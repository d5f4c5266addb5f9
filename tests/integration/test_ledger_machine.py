"""The ledger against a model of it: one user, any writes and any replies, in any order."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leadline.ledger import outcomes, publish
from leadline.messages.contract import Reply
from leadline.users import read, store
from leadline.users.model import Move, NewUser
from leadline.users.store import Event
from tests.integration.conftest import rows


@dataclass
class Fate:
    """What has become of one event."""

    event: Event
    state: str = "open"
    #: Whether the relay has anything left to do with it.
    is_due: bool = True
    sendings: int = 0


class Machine(RuleBasedStateMachine):
    """The model: the fate of each version, and the lead of the newest one that was applied."""

    @initialize()
    def create(self) -> None:
        event = store.create(NewUser(full_name="Ann", phone="+77001112233"), None).event
        self.fates = [Fate(event)]
        self.synced = 0
        self.lead: int | None = None

    @rule()
    def move(self) -> None:
        user = self.fates[0].event.user.id
        self.fates.append(Fate(store.change(user, Move(stage="JUNK"), None, None).event))

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """The broker's confirm may be noted at any time, also after the reply."""
        fate = data.draw(st.sampled_from(self.fates))
        publish.mark_published([str(fate.event.id)])
        fate.sendings += 1

    @rule(data=st.data(), outcome=st.sampled_from(["synced", "superseded"]))
    def succeed(self, data: st.DataObject, outcome: str) -> None:
        fate = data.draw(st.sampled_from(self.fates))
        lead = 100 + fate.event.version
        self._reply(fate, outcome, status="success", bitrix_lead_id=lead)
        if fate.state not in {"open", "failed"}:
            return
        fate.state, fate.is_due = outcome, False
        if fate.event.version >= self.synced:
            self.synced, self.lead = fate.event.version, lead
        for older in self.fates[: fate.event.version - 1]:
            if outcome == "synced" and older.state == "open":
                older.state, older.is_due = "superseded", False

    @rule(data=st.data(), is_passing=st.booleans())
    def fail(self, data: st.DataObject, is_passing: bool) -> None:  # noqa: FBT001
        fate = data.draw(st.sampled_from(self.fates))
        self._reply(fate, "failed", is_passing=is_passing, status="error", reason="no")
        if fate.state in {"open", "failed"}:
            fate.state, fate.is_due = "failed", fate.is_due and is_passing

    @invariant()
    def each_event_has_its_fate(self) -> None:
        found = rows(
            "SELECT version, state, due_at IS NOT NULL AS is_due, sendings FROM events"
            " WHERE user_id = :id ORDER BY version",
            id=self.fates[0].event.user.id,
        )
        assert found == [
            {
                "version": fate.event.version,
                "state": fate.state,
                "is_due": fate.is_due,
                "sendings": fate.sendings,
            }
            for fate in self.fates
        ]

    @invariant()
    def the_user_shows_the_newest(self) -> None:
        newest = self.fates[-1]
        shown = {"open": "waiting", "failed": "failed"}.get(newest.state, "synced")
        sync = read.one(newest.event.user.id)["sync"]
        assert (sync["status"], sync["bitrix_lead_id"]) == (shown, self.lead)
        assert ("retry_at" in sync) == (newest.state == "failed" and newest.is_due)

    def _reply(self, fate: Fate, outcome: str, *, is_passing: bool = False, **more: Any) -> None:
        event = fate.event
        about = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
        outcomes.apply(Reply(**about, **more), outcome, is_passing=is_passing)


@pytest.fixture(autouse=True)
def _database(in_postgres: str) -> None:
    assert in_postgres


TestTheLedger = Machine.TestCase
TestTheLedger.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
