"""Replies that we publish are readable by our own side, after any answer of the portal."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from leadline.messages import contract
from leadline.settings import settings
from leadline.sync import replies
from leadline.workqueue.entries.pending_event import Outcome
from tests.unit.conftest import Configure
from tests.unit.entries import entry, pending

#: Also halves of surrogate pairs, which JSON may escape and UTF-8 cannot encode.
ANY_CHARACTER = st.characters(exclude_categories=())
REASONS = st.builds(
    lambda text, length: (text * (length // max(1, len(text)) + 1))[:length],
    st.text(ANY_CHARACTER),
    st.sampled_from([0, 1, 50, 999, 1000, 1001, 5000, 100_000]),
)


def texts(max_length: int) -> st.SearchStrategy[str]:
    """Texts as JSON may carry them; control characters take six bytes there."""
    repeated = st.sampled_from('a\x00\x1f"\\я😀').map(lambda character: character * max_length)
    return st.one_of(st.text(max_size=max_length), repeated)


USERS = st.fixed_dictionaries(
    {"id": st.integers(1, contract.MAX_ID), "full_name": texts(255).filter(bool)},
    optional={"phone": texts(250), "stage": texts(250), "anything": texts(9)},
)
IDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=128)


@pytest.mark.parametrize(
    "chosen",
    [
        {"body_limit": limit, "reply_envelope": envelope}
        for limit in ("1024", "65536")
        for envelope in ("plain", "nestjs")
    ],
)
@given(reason=REASONS, user=USERS, event_id=IDS)
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_our_reader_accepts_every_reply_that_we_publish(
    configure: Configure, chosen: dict[str, str], reason: str, user: Any, event_id: str
) -> None:
    configure(**chosen)
    data = {"action": "create_card", "user": user, "replyQueue": "bitrix.responses"}
    request = contract.read_request(orjson.loads(orjson.dumps({"pattern": "p", "data": data})))
    event = pending(
        event_id=request.identity(event_id),
        user=request.user.model_dump(exclude={"bitrix_lead_id"}, exclude_none=True),
        outcome=Outcome("failed", attempts=3, reason=reason),
    )
    message = replies.reply_message(entry(event), event)
    assert len(message.body) <= settings().body_limit
    message.properties().encode()  # AMQP can carry it
    reply = contract.read_reply(orjson.loads(message.body))
    assert (reply.status, reply.user_id, reply.event_id) == ("error", 7, event.event_id)
    assert reply.reason is not None
    if settings().body_limit > 10_000:
        assert reply.user == event.user
        assert len(reply.reason) == min(len(reason), contract.MAX_REASON)


def test_a_truncated_reason_is_marked() -> None:
    event = pending(outcome=Outcome("failed", attempts=3, reason="Lead is locked. " * 1000))
    reply = orjson.loads(replies.reply_message(entry(event), event).body)
    assert reply["reason"].startswith("Lead is locked. Lead is locked.")
    assert reply["reason"].endswith("…")
    assert len(reply["reason"]) == contract.MAX_REASON


def test_only_the_ledger_learns_the_id_of_a_chosen_lead_that_is_taken() -> None:
    outcome = Outcome("failed", attempts=1, lead_id=55, reason="lead 55 belongs to another user")
    message = replies.reply_message(entry(), pending(outcome=outcome))
    assert message.headers["ce-takenlead"] == "55"
    assert "bitrix_lead_id" not in orjson.loads(message.body)
