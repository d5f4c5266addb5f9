"""A schedule's tick: publish what is due in the ledger."""

import functions_framework
from flask import Request, Response

from leadline.ledger import relay
from leadline.runtime.http import answer, endpoint


@functions_framework.http
@endpoint("POST", "GET")
def outbox_relay(_request: Request) -> Response:
    """200 with what was done; 503 while Postgres or RabbitMQ is away."""
    swept = relay.run()
    return answer({"published": swept.published, "pruned": swept.pruned})
