"""Why a user is not in sync: the rule and the sentences for console and command line.

The console has the sentences in both its languages, under the same codes
(`functions/console/page/texts/`); a test compares the English ones with these.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

ALL_WELL = "allWell"
BY_OPERATOR = "byOperator"

#: By code; `{at}` is when the next attempt is due, `{why}` why calls are paused.
SENTENCES = MappingProxyType(
    {
        ALL_WELL: "In sync with Bitrix24",
        "whyTransient": "The portal could not be reached or failed. It is retried automatically,"
        " not before {at}; “Retry” does it now.",
        "whyPermanent": "Bitrix24 rejects this record. Fix the cause (change the user or the"
        " portal), then “Retry”.",
        "whyPaused": "All calls are paused: {why}. Nothing is lost; they continue once resumed.",
        "whyHeld": "It is held for an operator: {why}. Link it to one of them, or have a lead"
        " created.",
        "whyUnpublished": "RabbitMQ has not confirmed it yet. The relay publishes it every few"
        " seconds.",
        "whyUnreceived": "It waits in RabbitMQ: the connector or bitrix-handler has not received"
        " it. See the queues and the dead letters.",
        "whyInFlight": "Its call is in flight, or its reply is on its way.",
        "whyTried": "The last attempt failed; the next one is due, not before {at}.",
        "whyUntried": "It waits for a call, not before {at}.",
        BY_OPERATOR: "by an operator",
    }
)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a user is in its state, and what happens next."""

    #: A key of SENTENCES.
    code: str
    #: When the next attempt is due; None if none is.
    at: datetime | None = None
    #: Why calls are paused or the user is held; "" if an operator gave no reason.
    reason: str = ""

    def sentence(self, format_time: Callable[[datetime], str]) -> str:
        """The sentence, in English."""
        at = format_time(self.at) if self.at else ""
        return SENTENCES[self.code].format(at=at, why=self.reason or SENTENCES[BY_OPERATOR])


def why(sync: Mapping[str, Any], steps: Iterable[str], paused: str | None) -> Why:
    """Diagnose why this user is in its state.

    `sync`: its `sync` block with `next_try_at`. `steps`: names of the steps that its newest event
    has taken. `paused`: why calls are paused ("": no reason was given), None if they are not.
    """
    if sync["status"] == "synced":
        return Why(ALL_WELL)
    if sync["status"] == "failed":
        retry_at = sync.get("retry_at")
        return Why("whyTransient", _parse_time(retry_at)) if retry_at else Why("whyPermanent")
    taken = set(steps)
    if paused is not None:
        return Why("whyPaused", reason=paused)
    for step, code in (("published", "whyUnpublished"), ("received", "whyUnreceived")):
        if step not in taken:
            return Why(code)
    if sync["next_try_at"] is None:
        return Why("whyInFlight")
    return Why("whyTried" if "attempt" in taken else "whyUntried", sync["next_try_at"])


def _parse_time(time: datetime | str) -> datetime:
    return datetime.fromisoformat(time) if isinstance(time, str) else time
