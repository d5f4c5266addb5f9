"""bitrix.responses → the ledger: note what became of an event."""

import functions_framework
from flask import Request, Response

from leadline.ledger import outcomes
from leadline.messages import contract, journey
from leadline.messages.delivery import FENCE, JOURNEY, OUTCOME, PASSING, receive
from leadline.runtime.http import endpoint


@functions_framework.http
@endpoint("POST", writing="operate")
def reply_handler(request: Request) -> Response:
    """204 once the ledger has it; 422 for a reply that can never be applied."""
    delivery = receive(request)
    outcomes.apply(
        contract.read_reply(delivery.body),
        delivery.attributes.get(OUTCOME),
        fence=delivery.attributes.get(FENCE),
        is_passing=PASSING in delivery.attributes,
        journey=journey.of_header(delivery.attributes.get(JOURNEY)),
    )
    return Response(status=204)
