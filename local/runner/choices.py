"""Options of a local run, from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from leadline.bitrix24.webhook_url import WebhookUrl
from leadline.runtime import cleartext
from leadline.settings import Peer

_SERVERS: dict[str, Peer] = {
    "DATABASE_URL": "postgres",
    "AMQP_URL": "rabbitmq",
    "REDIS_URL": "redis",
}


@dataclass(frozen=True)
class Choices:
    """The variables of `make run`; empty ones count as unset."""

    port: int | None
    bitrix_port: int | None
    database_url: str | None
    amqp_url: str | None
    redis_url: str | None
    webhook_url: str | None
    workers: int
    threads: int
    relay_every_s: float
    #: Use free ports instead of the default ones.
    with_free_ports: bool

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> "Choices":
        """From the environment.

        Raises:
            ValueError: PORT, WORKERS or the like is not a number.
            BadConfiguration: the webhook is not a webhook URL, or a server would need cleartext.
        """
        if webhook := env.get("BITRIX_WEBHOOK_URL"):
            WebhookUrl.parse(webhook)
        for variable, peer in _SERVERS.items():
            if url := env.get(variable):
                cleartext.require_tls(peer, url)
        port, bitrix_port = env.get("PORT"), env.get("BITRIX_PORT")
        return cls(
            port=int(port) if port else None,
            bitrix_port=int(bitrix_port) if bitrix_port else None,
            database_url=env.get("DATABASE_URL") or None,
            amqp_url=env.get("AMQP_URL") or None,
            redis_url=env.get("REDIS_URL") or None,
            webhook_url=env.get("BITRIX_WEBHOOK_URL") or None,
            workers=int(env.get("WORKERS") or 8),
            threads=int(env.get("THREADS") or 8),
            relay_every_s=float(env.get("LEADLINE_RELAY_EVERY_S") or 2),
            with_free_ports=bool(env.get("LEADLINE_FREE_PORTS")),
        )
