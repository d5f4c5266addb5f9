"""One run: collect results from the ledger, then deliver those that are due to each endpoint."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from leadline.errors import BadConfiguration
from leadline.results import deliveries
from leadline.results.collect import collect
from leadline.results.endpoints import DELIVERED, Endpoint, endpoints
from leadline.results.message import Outcome, Result
from leadline.runtime.once_per_interval import Interval

log = structlog.get_logger()

#: How long a run may deliver: the relay has other work.
BUDGET_S = 5.0
#: How many results are claimed and sent to an endpoint at a time.
BATCH = 50

#: An invalid configuration is logged once a minute.
_config_errors = Interval(60)
#: Without endpoints there is rarely something to prune: once a minute is enough.
_prunes_without_endpoints = Interval(60)


class Sender(Protocol):
    """Sends results to one endpoint."""

    def send(self, results: list[Result]) -> list[Outcome]:
        """An outcome for each result."""

    def close(self) -> None:
        """Close the sender's connections."""


def run(budget_s: float = BUDGET_S) -> None:
    """Collect and deliver; the endpoints are served in parallel.

    An invalid configuration is logged, and loses nothing: results are collected once it is
    corrected. Without endpoints, results for removed ones are still given up and deleted in time.

    Raises:
        DatabaseDown: Postgres can't be reached; what was delivered may be delivered again.
    """
    receivers = _receivers()
    if receivers:
        collect(receivers)
        until = time.monotonic() + budget_s
        with ThreadPoolExecutor(len(receivers), thread_name_prefix="endpoint") as threads:
            # list() raises what a thread has raised.
            list(threads.map(lambda receiver: _deliver(receiver, until), receivers))
    elif not _prunes_without_endpoints.claim():
        return
    if given_up := deliveries.prune():
        DELIVERED.inc("given_up", by=given_up)
        log.error("results given up", results=given_up)


def _receivers() -> tuple[Endpoint, ...]:
    """The endpoints; none if the configuration is invalid."""
    try:
        return endpoints()
    except BadConfiguration as error:
        if _config_errors.claim():
            log.error("results not delivered", reason=str(error))  # noqa: TRY400 - the text is enough
        return ()


def _deliver(endpoint: Endpoint, until: float) -> None:
    """Deliver to one endpoint until nothing is due, it can't be reached, or `until` (monotonic)."""
    sender: Sender | None = None
    try:
        while time.monotonic() < until and (claimed := deliveries.claim(endpoint.name, BATCH)):
            sender = sender or _sender(endpoint)
            if not _settle(endpoint, claimed, sender.send(claimed)):
                return
    finally:
        if sender is not None:
            sender.close()


def _settle(endpoint: Endpoint, results: list[Result], outcomes: list[Outcome]) -> bool:
    """Record the outcomes; returns whether the endpoint can be reached."""
    pairs = list(zip(results, outcomes, strict=True))
    delivered = [result for result, outcome in pairs if not outcome.problem]
    failed = [(result, outcome) for result, outcome in pairs if outcome.problem]
    if delivered:
        deliveries.record_delivered(endpoint.name, [result.seq for result in delivered])
        DELIVERED.inc("delivered", by=len(delivered))
    is_down = not delivered and any(outcome.is_unreachable for _, outcome in failed)
    if is_down:
        problem = next(outcome.problem for _, outcome in failed if outcome.is_unreachable)
        deliveries.record_unreachable(endpoint.name, [result.seq for result, _ in failed], problem)
        DELIVERED.inc("unreachable", by=len(failed))
        log.warning("endpoint unreachable", endpoint=endpoint.name, reason=problem)
    elif failed:
        deliveries.record_rejected(
            endpoint.name, [(result, outcome.problem) for result, outcome in failed]
        )
        DELIVERED.inc("rejected", by=len(failed))
        log.warning(
            "results rejected", endpoint=endpoint.name, results=len(failed),
            reason=failed[0][1].problem,
        )  # fmt: skip
    return not is_down


def _sender(endpoint: Endpoint) -> Sender:
    if endpoint.url is None:
        from leadline.results.exchange_sender import ExchangeSender  # noqa: PLC0415 - few installations use the exchange

        return ExchangeSender()
    from leadline.results.http_sender import HttpSender  # noqa: PLC0415 - requests is slow to import

    return HttpSender(endpoint)
