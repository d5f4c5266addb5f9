"""Which of a sender's properties are copied to a message published under our own login."""

from unittest.mock import Mock

import pika
import pytest

from leadline.connector.message import ReceivedMessage, Verdict

#: Properties as another system may send them, with all that the broker acts upon.
SENT = pika.BasicProperties(
    content_type="application/json",
    correlation_id="call",
    message_id="m-1",
    user_id="leadline_writer",
    expiration="1",
    headers={
        "ce-id": "1",
        "x-filler": "kept",
        "CC": ["bitrix.responses"],
        "BCC": ["bitrix.responses"],
        "x-death": [{}],
        "x-first-death-queue": "q",
        "x-last-death-reason": "expired",
    },
)
RETRY, FINAL = (Verdict(is_served=False, is_final=final, reason="r") for final in (False, True))


@pytest.mark.parametrize("verdict", [RETRY, FINAL])
def test_a_copy_keeps_all_properties_except_those_that_the_broker_acts_upon(
    verdict: Verdict,
) -> None:
    message = ReceivedMessage(Mock(), 1, "bitrix_queue", SENT, b"{}", attempt=1)
    copy = message.copy(verdict).properties()
    assert (copy.message_id, copy.correlation_id) == ("m-1", "call")
    assert copy.user_id is None, "RabbitMQ refuses a message with another user id"
    assert copy.expiration is None
    added = {"ce-attempt"}
    if verdict is FINAL:
        added |= {"x-reason", "x-origin", "x-died-at"}
    assert copy.headers.keys() == {"ce-id", "x-filler"} | added
    assert SENT.headers["CC"], "the message itself is unchanged"
