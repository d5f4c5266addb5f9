"""The relay, called by a schedule: publish the events that are due, and do periodic checks.

It also republishes the events that a Redis which lost data may have forgotten, restores an
operator's manual hold in Redis, advances bulk jobs, repeats erasures that were lost, removes what
is left of erased users, and delivers results to other systems.
"""

import functions_framework
from flask import Request

from leadline.ledger import relay
from leadline.mapping.current import field_map
from leadline.operations import stored_hold
from leadline.operations.bulk import jobs
from leadline.operations.erasure import lost_erasures
from leadline.results import endpoints
from leadline.runtime.http.endpoint import RawResponse, endpoint, json_response
from leadline.runtime.telemetry import metrics
from leadline.sync import stage_sync
from leadline.sync.reconcile import unknown_leads
from leadline.workqueue import postgres_rollback
from leadline.workqueue.republication import PendingEvents, make_outdated_due


def _set_gauges() -> None:
    from leadline.operations import gauges  # noqa: PLC0415 - imports three clients, of which a tick without a scrape needs one

    gauges.refresh()


def _restore_hold() -> None:
    hold = stored_hold.load()
    if hold is not None:
        from leadline.operations import manual_hold  # noqa: PLC0415 - holds are rare, and Redis' client is slow to import

        manual_hold.restore(hold)


def _discard_dead_letters_of_erased() -> None:
    from leadline.operations.erasure import dead_letters  # noqa: PLC0415 - imports the connector's client, and few ticks need it

    dead_letters.discard_if_due()


def _deliver_results() -> None:
    if endpoints.is_configured():
        from leadline.results import tick  # noqa: PLC0415 - few installations have endpoints

        tick.run()


def _check_fields() -> None:
    if field_map() is not None:
        from leadline.sync.fields import map_check  # noqa: PLC0415 - few installations have a map

        map_check.run()


metrics.on_scrape(_set_gauges)


@functions_framework.http
@endpoint("POST", read_scope="internal", write_scope="internal")
def outbox_relay(_request: Request) -> RawResponse:
    """200 with the counts of a tick; 503 while Postgres or RabbitMQ can't be reached."""
    _restore_hold()
    postgres_rollback.detect()
    lost_erasures.repeat()
    jobs.advance(jobs.USER_KINDS)  # the relay then publishes the events that they enter
    make_outdated_due(relay.make_due)
    result = relay.run(PendingEvents().pending_among)
    jobs.advance(jobs.DEAD_LETTER_KINDS)  # needs RabbitMQ, which the relay has just reached
    _discard_dead_letters_of_erased()
    stage_sync.refresh()
    _check_fields()
    unknown_leads.run()
    _deliver_results()
    return json_response({"published": result.published, "pruned": result.pruned})
