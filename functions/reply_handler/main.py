"""bitrix.responses → the ledger: record the outcomes of events."""

import functions_framework
from flask import Request, Response

from leadline.ledger import settle
from leadline.ledger.settle import ReceivedReply
from leadline.messages import attempt_log, contract
from leadline.messages.attributes import (
    FENCE,
    HISTORY,
    JOURNEY,
    OPEN_FIELDS,
    OUTCOME,
    PASSING,
    TAKEN_LEAD,
)
from leadline.messages.cloudevents import Delivery, receive
from leadline.runtime.http.endpoint import endpoint


@functions_framework.http
@endpoint("POST", read_scope="internal", write_scope="internal")
def reply_handler(request: Request) -> Response:
    """204 once all replies are recorded; 422 for a reply that can never be applied."""
    settle.apply([_received(delivery) for delivery in receive(request)])
    return Response(status=204)


def _received(delivery: Delivery) -> ReceivedReply:
    return ReceivedReply(
        contract.read_reply(delivery.body),
        delivery.attributes.get(OUTCOME),
        delivery.attributes.get(FENCE),
        delivery.attributes.get(HISTORY),
        is_transient=PASSING in delivery.attributes,
        attempt_log=attempt_log.from_header(delivery.attributes.get(JOURNEY)),
        open_fields=delivery.attributes.get(OPEN_FIELDS),
        taken_lead=delivery.attributes.get(TAKEN_LEAD),
        trace=delivery.trace,
    )
