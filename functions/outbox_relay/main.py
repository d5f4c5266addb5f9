"""A schedule's tick: publish what is due in the ledger; now and then look at what is around it.

It also tells Redis again that an operator has paused calls, where Redis may have forgotten that.
"""

import functions_framework
from flask import Request

from leadline.ledger import relay
from leadline.operations import stored_hold
from leadline.runtime.http.endpoint import RawResponse, endpoint, json_response
from leadline.runtime.telemetry import metrics
from leadline.sync import stage_sync
from leadline.sync.reconcile import portal_check
from leadline.workqueue import postgres_rollback
from leadline.workqueue.pending import Waiting


def _read_gauges() -> None:
    from leadline.operations import gauges  # noqa: PLC0415 - its three clients are costly, ticks use one

    gauges.read()


def _restore_hold() -> None:
    kept = stored_hold.kept()
    if kept is not None:
        from leadline.operations import manual_hold  # noqa: PLC0415 - holds are rare, and Redis' client is costly

        manual_hold.restore(kept)


metrics.on_scrape(_read_gauges)


@functions_framework.http
@endpoint("POST", read_scope="internal", write_scope="internal")
def outbox_relay(_request: Request) -> RawResponse:
    """200 with what was done; 503 while Postgres or RabbitMQ is away."""
    _restore_hold()
    postgres_rollback.check()
    swept = relay.run(Waiting().of)
    stage_sync.refresh()
    portal_check.run()
    return json_response({"published": swept.published, "pruned": swept.pruned})
