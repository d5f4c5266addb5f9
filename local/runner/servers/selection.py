"""Private servers, except those given by URL."""

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from emulator.http.webhooks import is_emulator_webhook
from local.logins.table import URL_SECRETS, WEBHOOK, Login
from local.runner.choices import Choices
from local.runner.ports import Ports
from local.runner.processes.program import Program
from local.runner.servers.bitrix24 import Bitrix24
from local.runner.servers.postgres import Postgres
from local.runner.servers.rabbitmq import RabbitMQ
from local.runner.servers.redis import Redis
from local.runner.state import State

BITRIX_PORT = 3024


class Server(Protocol):
    """The interface of each server."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        ...

    def programs(self) -> tuple[Program, ...]:
        """Its programs; prepares their files."""
        ...

    def make_ready(self) -> bool:
        """Create what clients need, if it answers; returns whether it serves clients now."""
        ...


@dataclass(frozen=True)
class Servers:
    """The servers of one system; None for one that is given by URL."""

    choices: Choices
    postgres: Postgres | None
    rabbitmq: RabbitMQ | None
    redis: Redis | None
    bitrix24: Bitrix24 | None

    @classmethod
    def choose(cls, state: State, choices: Choices, ports: Ports) -> "Servers":
        """Private ones, except where a URL is given."""
        return cls(
            choices,
            None if choices.database_url else postgres(state, ports),
            None if choices.amqp_url else rabbitmq(state, ports),
            None if choices.redis_url else redis(state, ports),
            None if choices.webhook_url else bitrix24(state, ports, choices.bitrix_port),
        )

    def private(self) -> dict[str, Server]:
        """The private servers, the slowest to start first."""
        every: dict[str, Server | None] = {
            "rabbitmq": self.rabbitmq,
            "postgres": self.postgres,
            "redis": self.redis,
            "bitrix24": self.bitrix24,
        }
        return {name: server for name, server in every.items() if server}

    def secrets_of(self, login: Login) -> dict[str, str]:
        """The secrets of a login: URLs of the servers with its password, and the webhook.

        A server given by URL has one URL for all logins.
        """
        private = (self.postgres, self.rabbitmq, self.redis)
        urls_given = (self.choices.database_url, self.choices.amqp_url, self.choices.redis_url)
        urls = {
            secret: server.url_of(login) if server else url or ""
            for secret, server, url in zip(URL_SECRETS, private, urls_given, strict=True)
            if secret in login.url_secrets
        }
        return urls | ({WEBHOOK: self.webhook_url} if WEBHOOK in login.other_secrets else {})

    @property
    def webhook_url(self) -> str:
        """The webhook URL of the portal."""
        return self.bitrix24.webhook_url if self.bitrix24 else self.choices.webhook_url or ""

    @property
    def is_emulated(self) -> bool:
        """Whether the portal is an emulator on this machine."""
        return self.bitrix24 is not None or is_emulator_webhook(self.choices.webhook_url or "")

    @property
    def amqp_url(self) -> str:
        """The URL; a private server's has its administrator's credentials."""
        return self.rabbitmq.url if self.rabbitmq else self.choices.amqp_url or ""

    @property
    def redis_url(self) -> str:
        """The URL; a private server's has its administrator's credentials."""
        return self.redis.url if self.redis else self.choices.redis_url or ""

    @property
    def owner_database_url(self) -> str:
        """The URL for migrations."""
        return self.postgres.url if self.postgres else self.choices.database_url or ""

    def bitrix24_origin(self) -> str:
        """Scheme and host of the portal; the rest of a webhook URL is secret."""
        if self.bitrix24:
            return self.bitrix24.url
        parts = urlsplit(self.choices.webhook_url or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def postgres(state: State, ports: Ports) -> Postgres:
    """A private Postgres in this state folder."""
    return Postgres(state, ports.choose("postgres", 5432))


def rabbitmq(state: State, ports: Ports) -> RabbitMQ:
    """A private RabbitMQ in this state folder."""
    return RabbitMQ(
        state,
        ports.choose("rabbitmq", 5672),
        ports.choose("rabbitmq-management", 15672),
        ports.choose("rabbitmq-distribution"),
        ports.choose("epmd"),
    )


def redis(state: State, ports: Ports) -> Redis:
    """A private Redis in this state folder."""
    return Redis(state, ports.choose("redis", 6379))


def bitrix24(state: State, ports: Ports, port: int | None = None) -> Bitrix24:
    """An emulated portal in this state folder."""
    if port:
        return Bitrix24(state, ports.require("bitrix24", port, "BITRIX_PORT"))
    return Bitrix24(state, ports.choose("bitrix24", BITRIX_PORT))
