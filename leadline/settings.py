"""What an operator can choose, read once from `LEADLINE_*` environment variables.

Addresses with credentials are secrets (see `secrets.py`): `DATABASE_URL`, `AMQP_URL`, `REDIS_URL`,
`BITRIX_WEBHOOK_URL` and the `API_KEYS`.
"""

import os
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PREFIX = "LEADLINE_"

#: What a process talks to.
Part = Literal["postgres", "rabbitmq", "redis", "bitrix24", "functions", "otlp"]

_AUTO = BeforeValidator(lambda text: None if text == "auto" else text)


_NAMES = BeforeValidator(
    lambda text: frozenset(name.strip() for name in text.split(",") if name.strip())
)


class Settings(BaseModel):
    """Validated at start: a process with a senseless setting does not start."""

    model_config = ConfigDict(frozen=True)

    auth: Literal["on", "off"] = "on"
    #: Parts that may be reached without TLS beyond this machine, separated by commas.
    cleartext: Annotated[frozenset[Part], _NAMES] = frozenset()
    log: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    #: ISO 3166 code that completes phones without a country code; empty: they are refused.
    phone_region: str = ""

    #: Longest body that a function or a message may have, in bytes.
    body_limit: int = Field(64 * 1024, ge=1024)

    #: Writes a second that one key may make at each serving process, and how many at once; 0: any.
    #: By default what a portal takes (2 requests a second of 50), so that no client starves others.
    write_rate_per_s: float = Field(100, ge=0)
    write_burst: int = Field(500, ge=1)

    queue_type: Literal["quorum", "classic"] = "quorum"
    #: Queues that a message may ask to be answered on, separated by commas.
    reply_queues: str = "bitrix.responses"
    reply_envelope: Literal["plain", "nestjs"] = "plain"
    #: How many messages of a queue a connector has in hand; 1 keeps the order of arrival.
    prefetch: int = Field(64, ge=1, le=1000)
    #: CloudEvents `source` of what we publish.
    source: str = "/leadline"

    #: How long the publishing function itself has before the relay takes an event over.
    publish_grace_s: float = Field(5, gt=0)
    #: First deadline for an answer, and first wait after a failure that may pass; doubles with
    #: each sending, up to the cap.
    resend_after_s: float = Field(60, gt=0)
    resend_cap_s: float = Field(3600, gt=0)
    #: How long after its first failure a write is tried again by itself; then it stays failed.
    retry_for_s: float = Field(14 * 86400, ge=0)
    #: How long the ledger keeps settled events; longer than idempotency keys live (24 hours).
    keep_events_s: float = Field(30 * 86400, ge=2 * 86400)

    #: Names this portal's keys in Redis, so that portals could share one.
    portal: str = Field("main", pattern=r"^[a-z0-9-]{1,32}$")
    #: What our leads bear as ORIGINATOR_ID; None (`auto`): the database has it.
    originator_id: Annotated[str | None, _AUTO] = Field(None, min_length=1, max_length=255)
    #: Bitrix24's limits (https://apidocs.bitrix24.com/limits.html): 2 and 50, Enterprise 5 and 250.
    rate_per_s: float = Field(2, ge=0)
    burst: int = Field(50, ge=3)
    #: Execution time that a method may use in ten minutes (same page).
    operating_limit_s: float = Field(480, gt=0)
    #: How long the portal lets one request run before its gateway cuts it off (same page).
    request_limit_s: float = Field(60, ge=1)

    @property
    def allowed_reply_queues(self) -> frozenset[str]:
        """The allow-list as a set."""
        return frozenset(name.strip() for name in self.reply_queues.split(",") if name.strip())


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises:
        pydantic.ValidationError: a variable makes no sense.
    """
    given = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in os.environ.items()
        if name.startswith(PREFIX)
    }
    return Settings.model_validate(given)
