"""An operator's settings, read once from `LEADLINE_*` environment variables.

URLs with credentials and the API keys are secrets (`runtime/secrets.py`): `DATABASE_URL`,
`AMQP_URL`, `REDIS_URL`, `BITRIX_WEBHOOK_URL` and `API_KEYS`.
"""

import os
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from leadline.process import per_process

PREFIX = "LEADLINE_"

#: A server or service that a process connects to.
Peer = Literal["postgres", "rabbitmq", "redis", "bitrix24", "functions", "otlp"]

_AUTO = BeforeValidator(lambda text: None if text == "auto" else text)


def _split_names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


_NAMES = BeforeValidator(_split_names)
#: `never`: none of the three choices. `hold` implies `link` for a user whom a single lead matches.
_DUPLICATES = BeforeValidator(lambda text: frozenset() if text == "never" else _split_names(text))


class Settings(BaseModel):
    """Validated at start: a process with an invalid setting does not start."""

    model_config = ConfigDict(frozen=True)

    auth: Literal["on", "off"] = "on"
    #: Peers that may be reached without TLS on other machines, separated by commas.
    cleartext: Annotated[frozenset[Peer], _NAMES] = frozenset()
    log: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    #: ISO 3166 country of phones without a country code; empty: such phones are invalid.
    phone_region: str = ""

    #: File of the field map; empty: users have no further fields (docs/mapping.md).
    mapping: str = ""

    #: Maximum size of a request body or a message, in bytes.
    body_limit: int = Field(64 * 1024, ge=1024)

    #: Rate limit of writes for each key and serving process: per second, and burst; 0: unlimited.
    #: The default is what a portal accepts, 2 requests a second of 50 users each: no client starves
    #: others.
    write_rate_per_s: float = Field(100, ge=0)
    write_burst: int = Field(500, ge=1)

    queue_type: Literal["quorum", "classic"] = "quorum"
    #: Queues that a message may name as its `replyQueue`, separated by commas.
    reply_queues: str = "bitrix.responses"
    reply_envelope: Literal["plain", "nestjs"] = "plain"
    #: Maximum messages of a queue in flight in a connector; 1 keeps the order of arrival.
    prefetch: int = Field(64, ge=1, le=1000)
    #: CloudEvents `source` of published messages.
    source: str = "/leadline"

    #: How long a function may take to publish its event before the relay publishes it.
    publish_grace_s: float = Field(5, gt=0)
    #: First deadline for a reply, and first back-off after a transient failure; doubles each time
    #: the event is published, up to the cap.
    resend_after_s: float = Field(60, gt=0)
    resend_cap_s: float = Field(3600, gt=0)
    #: How long after its first failure a write is retried automatically; then it stays failed.
    retry_for_s: float = Field(14 * 86400, ge=0)
    #: Retention of settled events; longer than that of idempotency keys (24 hours).
    keep_events_s: float = Field(30 * 86400, ge=2 * 86400)

    #: Retention of calls to Bitrix24 and their answers, at most that of events; 0: none are kept.
    keep_calls_s: float = Field(7 * 86400, ge=0)

    #: Namespace of this portal's keys in Redis, so that portals could share one server.
    portal: str = Field("main", pattern=r"^[a-z0-9-]{1,32}$")
    #: ORIGINATOR_ID of our leads; None (`auto`): the one stored in the database.
    originator_id: Annotated[str | None, _AUTO] = Field(None, min_length=1, max_length=255)
    #: Publish results on the topic exchange `leadline.users`.
    results_exchange: Literal["on", "off"] = "off"
    #: What happens to the lead of an erased user.
    erase_lead: Literal["keep", "blank", "delete"] = "blank"
    #: Before a lead is created: `link` the user to the open lead with its phone, `hold` the user
    #: for an operator if there are several, attach the new lead to the `contact`; comma-separated.
    duplicates: Annotated[frozenset[Literal["link", "hold", "contact"]], _DUPLICATES] = frozenset()
    #: Bitrix24's limits (https://apidocs.bitrix24.com/limits.html): 2 and 50, Enterprise 5 and 250.
    #: Rate 0: unlimited. The token bucket leaves 2 of the burst unused: at least 3.
    rate_per_s: float = Field(2, ge=0)
    burst: int = Field(50, ge=3)
    #: Operating budget of a method in ten minutes (same page).
    operating_limit_s: float = Field(480, gt=0)
    #: After how long the portal's gateway aborts a request (same page).
    request_limit_s: float = Field(60, ge=1)

    @property
    def allowed_reply_queues(self) -> frozenset[str]:
        """The allow-list of reply queues."""
        return frozenset(name.strip() for name in self.reply_queues.split(",") if name.strip())


@per_process
def settings() -> Settings:
    """The settings of this process.

    Raises:
        pydantic.ValidationError: a variable is invalid.
    """
    variables = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in os.environ.items()
        if name.startswith(PREFIX)
    }
    return Settings.model_validate(variables)
