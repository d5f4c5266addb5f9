"""The reasons of a verdict: the severity and the sentences of each.

The console's page has the same sentences in both languages, by the reason's code
(`functions/console/page/texts/en.js`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

State = Literal["healthy", "slowed", "stopped"]


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason as a sentence with placeholders, and what happens next."""

    state: State
    sentence: str
    next: str


#: By code, the most important first.
REASONS: Mapping[str, Reason] = {
    "postgres_down": Reason(
        "stopped",
        "Postgres can't be reached: no write is accepted, and how many users wait is unknown.",
        "Everything continues by itself once Postgres answers.",
    ),
    "redis_down": Reason(
        "stopped",
        "Redis can't be reached: no calls to Bitrix24. Writes are accepted and wait in Postgres.",
        "Calls continue by themselves once Redis answers.",
    ),
    "manual_hold": Reason(
        "stopped",
        "Calls to Bitrix24 are paused by {who}. Reason: {why}.",
        "They stay paused until an operator resumes them; writes are accepted and wait.",
    ),
    "simple_crm_mode": Reason(
        "stopped",
        "Calls are paused: the portal is in simple CRM mode and keeps no leads.",
        "Switch the portal to classic CRM mode. Next probe not before {at}; calls then resume by"
        " themselves.",
    ),
    "circuit_open": Reason(
        "stopped",
        "Calls are paused (circuit open): Bitrix24 rejects all of them: {why}.",
        "Next probe not before {at}; calls resume by themselves once Bitrix24 accepts it.",
    ),
    "no_worker": Reason(
        "stopped",
        "No worker has reported for {ago}: no calls to Bitrix24.",
        "Start a worker; everything that waits continues then.",
    ),
    "no_worker_ever": Reason(
        "stopped",
        "No worker has reported within the last hour: no calls to Bitrix24.",
        "Start a worker; everything that waits continues then.",
    ),
    "rabbitmq_down": Reason(
        "stopped",
        "RabbitMQ can't be reached: writes are accepted and wait in Postgres.",
        "The relay publishes them once RabbitMQ answers.",
    ),
    "no_connector": Reason(
        "stopped",
        "No connector consumes {queue}: its messages wait in RabbitMQ.",
        "Start the connector; it delivers everything that waits.",
    ),
    "portal_unreachable": Reason(
        "stopped",
        "Bitrix24 is unreachable ({kind}): {why}.",
        "Calls are still tried, and go through by themselves once Bitrix24 answers.",
    ),
    "no_relay": Reason(
        "slowed",
        "No relay has run for {ago}: unpublished and failed events are not published again.",
        "Call outbox-relay every few seconds.",
    ),
    "postgres_slow": Reason(
        "slowed",
        "Postgres took longer than 5 s to count the users: how many wait is unknown.",
        "Writes and calls continue. Look at what else Postgres does: docs/postgres.md.",
    ),
    "operating_budget": Reason(
        "slowed",
        "The operating budget of {method} is used up: {used} of {limit} s in ten minutes.",
        "Its calls continue not before {at}, when the oldest minute leaves the window.",
    ),
    "request_limit": Reason(
        "slowed",
        "{n} users are ready, and requests go out at Bitrix24's limit of {limit} a second.",
        "The backlog is worked off at that rate.",
    ),
    "field_map_defect": Reason(
        "slowed",
        "The field map has a mistake: {why}.",
        "The last good map stays in use; correct the file, which is read again by itself.",
    ),
    "field_misfit": Reason(
        "slowed",
        "The portal does not take the field {field} ({lead}): {why}.",
        "Other fields and users go on. Change the map or the portal; what stayed open is then"
        " written by itself.",
    ),
    "results_refused": Reason(
        "slowed",
        "The endpoint {endpoint} did not accept a result ({why}): {n} wait for it.",
        "They are delivered once it accepts them, and given up after three days. Writes and calls"
        " to Bitrix24 are not affected.",
    ),
    "slow": Reason(
        "slowed",
        "The oldest write has waited for {ago}, and nothing known holds it up.",
        "Open a waiting user: its steps show where the write is.",
    ),
    "users_held": Reason(
        "healthy",
        "{n} users are held for an operator: several leads or contacts may be theirs.",
        "They stay until an operator decides, or until a search finds one only.",
    ),
    "operator_needed": Reason(
        "healthy",
        "Calls go through. Failed users: {n}, dead letters: {letters}, results given up:"
        " {results}.",
        "They stay until an operator decides: failures, dead letters and `leadline results list`"
        " show the reasons.",
    ),
    "running": Reason(
        "healthy", "{n} users are on their way to Bitrix24.", "Nothing needs to be done."
    ),
    "in_sync": Reason(
        "healthy", "No user waits: every accepted write is settled.", "Nothing needs to be done."
    ),
    "unknown_backlog": Reason(
        "healthy",
        "No problem is known here.",
        "No database is set: how many users wait is unknown.",
    ),
}
