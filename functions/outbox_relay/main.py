"""A schedule's tick: publish what is due in the ledger; now and then read the stages."""

import functions_framework
from flask import Request, Response

from leadline.ledger import relay
from leadline.runtime.http import answer, endpoint
from leadline.sync import stages
from leadline.watch import gauges

gauges.register()


@functions_framework.http
@endpoint("POST", "GET", reading="operate", writing="operate")
def outbox_relay(_request: Request) -> Response:
    """200 with what was done; 503 while Postgres or RabbitMQ is away."""
    swept = relay.run()
    stages.refresh()
    return answer({"published": swept.published, "pruned": swept.pruned})
