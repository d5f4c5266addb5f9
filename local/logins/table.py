"""The logins: which process uses which, and what each may do at the servers.

Imports only the standard library: operators run this from a bare checkout.
"""

from dataclasses import dataclass
from types import MappingProxyType

#: The administrator of each server: it creates the others, and only migrations use it.
OWNER = "leadline"

#: The main queues.
REQUESTS, REPLIES = "bitrix_queue", "bitrix.responses"
_QUEUES = r"(bitrix_queue|bitrix\.responses)"
#: The topic exchange of results.
_RESULTS = r"leadline\.users"

#: Secrets with the URL of a server, and their variables.
URL_SECRETS = MappingProxyType(
    {"database-url": "DATABASE_URL", "amqp-url": "AMQP_URL", "redis-url": "REDIS_URL"}
)
#: All other secrets.
KEYS, INTERNAL, WEBHOOK = "api-keys", "internal-key", "bitrix-webhook-url"


@dataclass(frozen=True)
class Permissions:
    """Rights of a user of RabbitMQ, as patterns of names; `^$` is none.

    https://www.rabbitmq.com/docs/access-control#authorisation: publishing to an exchange needs
    `write` on it, and the default exchange (`amq.default`) reaches every queue. So each main queue
    has an exchange of the same name.
    """

    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"


@dataclass(frozen=True)
class Login:
    """One login, with the same name at each server; None: no login at that server."""

    name: str
    #: Group roles of Postgres that it is a member of.
    groups: tuple[str, ...] | None = None
    rabbitmq: Permissions | None = None
    #: Rules of an access control list of Redis.
    redis: str | None = None
    #: Secrets that its processes read in addition to the URLs.
    other_secrets: tuple[str, ...] = (KEYS,)

    @property
    def user(self) -> str:
        """Its name at the servers."""
        return f"leadline_{self.name}"

    @property
    def url_secrets(self) -> tuple[str, ...]:
        """The secrets with the URLs of its servers."""
        rights = zip(URL_SECRETS, (self.groups, self.rabbitmq, self.redis), strict=True)
        return tuple(secret for secret, right in rights if right is not None)

    def secret(self, url_secret: str) -> str:
        """The name of its secret: `database-url` of the reader is `database-url-reader`."""
        return f"{url_secret}-{self.name}"


# Redis. No command that reads or changes the server, other users, or all keys at once: no CONFIG,
# ACL, MODULE, DEBUG, SHUTDOWN, REPLICAOF, FLUSHALL, KEYS, SCAN. Scripts run with the caller's
# rights. `client|list`, part of @dangerous, is only for RQ's worker.
_CONNECT = "+@connection -@dangerous +acl|whoami"
_READ = (
    "+info +time +get +mget +exists +hget +hmget +hgetall +hvals +hlen +hexists +zcard +zcount"
    " +zscore +zmscore +zrange +zrangebyscore +zrevrange"
)
_SCRIPTS = "+evalsha +script|load +script|exists"
_WRITE = (
    "+set +del +rename +expire +persist +incrby +hset +hsetnx +hdel +hincrby +zadd +zrem"
    " +zremrangebyscore"
)
#: RQ's Queue.enqueue.
_ENQUEUE = "+multi +exec +watch +unwatch +sadd +rpush +lpush"
#: RQ's Worker.
_RUN_JOBS = (
    "+discard +smembers +srem +scard +llen +lrange +lrem +lpos +lpop +lmove +blmove +blpop"
    " +hincrbyfloat +zremrangebyrank +xadd +xlen +xrevrange"
    " +subscribe +unsubscribe +client|list"
)
_OUR_KEYS, _RQ_KEYS = "~{leadline:*}:*", "~rq:*"

_OBSERVER = f"{_OUR_KEYS} {_CONNECT} {_READ} {_SCRIPTS}"
_PRODUCER = f"{_OUR_KEYS} {_RQ_KEYS} {_CONNECT} {_READ} {_SCRIPTS} {_WRITE} {_ENQUEUE}"
_WORKER = f"{_PRODUCER} &rq:pubsub:* {_RUN_JOBS}"

_OPERATOR = Permissions(write=rf"^{_QUEUES}$", read=rf"^{_QUEUES}\.dead$")

LOGINS = (
    Login("writer", groups=("leadline_write",), rabbitmq=Permissions(write=f"^{REQUESTS}$")),
    # Erases users; no other function can.
    Login("eraser", groups=("leadline_erase",), rabbitmq=Permissions(write=f"^{REQUESTS}$")),
    Login("reader", groups=("leadline_read",)),
    Login("intake", redis=_PRODUCER, other_secrets=(INTERNAL,)),
    Login("settler", groups=("leadline_settle",), other_secrets=(INTERNAL,)),
    # It also discards the dead letters of erased users, carries out jobs on dead letters, and
    # publishes results.
    Login(
        "relay",
        groups=("leadline_app",),
        rabbitmq=Permissions(
            configure=rf"^{_RESULTS}$",
            write=rf"^({_QUEUES}|{_RESULTS})$",
            read=rf"^{_QUEUES}\.dead$",
        ),
        redis=_PRODUCER,
        other_secrets=(INTERNAL, WEBHOOK),
    ),
    # Reads dead letters and republishes them.
    Login("operator", groups=("leadline_app",), rabbitmq=_OPERATOR, redis=_PRODUCER),
    # The command line: like the console, and it may call the portal.
    Login(
        "cli",
        groups=("leadline_app",),
        rabbitmq=_OPERATOR,
        redis=_PRODUCER,
        other_secrets=(KEYS, WEBHOOK),
    ),
    Login(
        "connector",
        rabbitmq=Permissions(
            configure=rf"^{_QUEUES}(\.dead|\.(delay|retry)\.\d+s)?$",
            write=rf"^(amq\.default|{_QUEUES})$",
            read=rf"^{_QUEUES}(\.delay\.\d+s)?$",
        ),
        other_secrets=(INTERNAL,),
    ),
    Login(
        "worker",
        rabbitmq=Permissions(write=r"^bitrix\.responses$"),
        redis=_WORKER,
        other_secrets=(WEBHOOK,),
    ),
    # Checks the health of each server.
    Login("watcher", groups=(), rabbitmq=Permissions(), redis=_OBSERVER, other_secrets=(INTERNAL,)),
    # No server: the description of the API, and the schedule.
    Login("public"),
    Login("schedule", other_secrets=(INTERNAL,)),
)

#: Functions and processes, each with its login.
PARTS = MappingProxyType(
    {
        "create-user": "writer",
        "update-user": "writer",
        "move-user": "writer",
        "upsert-users": "writer",
        "delete-user": "eraser",
        "get-user": "reader",
        "list-users": "reader",
        "openapi": "public",
        "console": "operator",
        "bitrix-handler": "intake",
        "reply-handler": "settler",
        "outbox-relay": "relay",
        "connector": "connector",
        "worker": "worker",
        "edge": "watcher",
        "relay": "schedule",
        "cli": "cli",
    }
)


def by_name(name: str) -> Login:
    """The login with this name.

    Raises:
        KeyError: there is none.
    """
    return {login.name: login for login in LOGINS}[name]


def secrets() -> tuple[str, ...]:
    """The names of all secrets with URLs, one for each login and server."""
    return (
        "database-url-owner",
        *(login.secret(name) for login in LOGINS for name in login.url_secrets),
    )
