"""The logins: which part of the system has which, and what each may do at the servers.

Nothing but the standard library is loaded: operators run this from a bare checkout.
"""

from dataclasses import dataclass
from types import MappingProxyType

#: The administrator of each server: it makes the others, and only migrations work with it.
OWNER = "leadline"

REQUESTS, REPLIES = "bitrix_queue", "bitrix.responses"
_QUEUES = r"(bitrix_queue|bitrix\.responses)"

#: Secrets that are the address of a server, and the variables that name them.
ADDRESSES = MappingProxyType(
    {"database-url": "DATABASE_URL", "amqp-url": "AMQP_URL", "redis-url": "REDIS_URL"}
)
KEYS, INTERNAL, WEBHOOK = "api-keys", "internal-key", "bitrix-webhook-url"


@dataclass(frozen=True)
class Permissions:
    """What a user of RabbitMQ may do, by patterns of names; `^$` is nothing.

    https://www.rabbitmq.com/docs/access-control#authorisation: who publishes to an exchange needs
    `write` on it, and the default exchange (`amq.default`) leads to every queue. So each work queue
    has an exchange of its name.
    """

    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"


@dataclass(frozen=True)
class Login:
    """One login, of the same name at each server that it works with; None: not with this one."""

    name: str
    #: Group roles of Postgres that it is a member of.
    groups: tuple[str, ...] | None = None
    rabbitmq: Permissions | None = None
    #: Rules of an access control list of Redis.
    redis: str | None = None
    #: Secrets that its parts read beside the addresses.
    others: tuple[str, ...] = (KEYS,)

    @property
    def user(self) -> str:
        """Its name at the servers."""
        return f"leadline_{self.name}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """The secrets with the addresses of its servers."""
        rights = zip(ADDRESSES, (self.groups, self.rabbitmq, self.redis), strict=True)
        return tuple(secret for secret, right in rights if right is not None)

    def secret(self, address: str) -> str:
        """The name of its own secret: `database-url` of the reader is `database-url-reader`."""
        return f"{address}-{self.name}"


# Redis. No command that reads or changes the server, other users, or all keys at once: no CONFIG,
# ACL, MODULE, DEBUG, SHUTDOWN, REPLICAOF, FLUSHALL, KEYS, SCAN. Scripts run with the rights of who
# calls them. `client|list`, kept by @dangerous, is for RQ's worker alone.
_CONNECT = "+@connection -@dangerous +acl|whoami"
_LOOK = (
    "+info +time +get +mget +exists +hget +hmget +hgetall +hvals +hlen +hexists +zcard +zcount"
    " +zscore +zmscore +zrange +zrangebyscore +zrevrange"
)
_SCRIPTS = "+evalsha +script|load +script|exists"
_CHANGE = (
    "+set +del +rename +expire +persist +incrby +hset +hsetnx +hdel +hincrby +zadd +zrem"
    " +zremrangebyscore"
)
#: RQ's Queue.enqueue.
_ENQUEUE = "+multi +exec +watch +unwatch +sadd +rpush +lpush"
#: RQ's Worker.
_WORK = (
    "+discard +smembers +srem +scard +llen +lrange +lrem +lpos +lpop +lmove +blmove +blpop"
    " +hincrbyfloat +zremrangebyrank +xadd +xlen +xrevrange"
    " +subscribe +unsubscribe +client|list"
)
_OUR_KEYS, _RQ_KEYS = "~{leadline:*}:*", "~rq:*"

_LOOKS_ON = f"{_OUR_KEYS} {_CONNECT} {_LOOK} {_SCRIPTS}"
_QUEUES_UP = f"{_OUR_KEYS} {_RQ_KEYS} {_CONNECT} {_LOOK} {_SCRIPTS} {_CHANGE} {_ENQUEUE}"
_WORKS_OFF = f"{_QUEUES_UP} &rq:pubsub:* {_WORK}"

_OPERATES = Permissions(write=r"^amq\.default$", read=rf"^{_QUEUES}\.dead$")

LOGINS = (
    Login("writer", ("leadline_write",), Permissions(write=f"^{REQUESTS}$")),
    Login("reader", ("leadline_read",)),
    Login("intake", redis=_QUEUES_UP, others=(INTERNAL,)),
    Login("settler", ("leadline_settle",), others=(INTERNAL,)),
    Login(
        "relay",
        ("leadline_app",),
        Permissions(write=f"^{REQUESTS}$"),
        _QUEUES_UP,
        (INTERNAL, WEBHOOK),
    ),
    # Dead letters are read and put back.
    Login("operator", ("leadline_app",), _OPERATES, _QUEUES_UP),
    # The command line: as the console, and it may ask the portal.
    Login("cli", ("leadline_app",), _OPERATES, _QUEUES_UP, (KEYS, WEBHOOK)),
    Login(
        "connector",
        rabbitmq=Permissions(
            configure=rf"^{_QUEUES}(\.dead|\.(delay|retry)\.\d+s)?$",
            write=rf"^(amq\.default|{_QUEUES})$",
            read=rf"^{_QUEUES}(\.delay\.\d+s)?$",
        ),
        others=(INTERNAL,),
    ),
    Login(
        "worker",
        rabbitmq=Permissions(write=r"^bitrix\.responses$"),
        redis=_WORKS_OFF,
        others=(WEBHOOK,),
    ),
    # Asks each server whether it answers.
    Login("watcher", (), Permissions(), _LOOKS_ON, (INTERNAL,)),
    # With no server: what describes the API, and the schedule.
    Login("public"),
    Login("schedule", others=(INTERNAL,)),
)

#: Functions and processes by the login that they work with.
PARTS = MappingProxyType(
    {
        "create-user": "writer",
        "update-user": "writer",
        "move-user": "writer",
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


def of(name: str) -> Login:
    """The login of this name.

    Raises:
        KeyError: there is none.
    """
    return {login.name: login for login in LOGINS}[name]


def secrets() -> tuple[str, ...]:
    """The names of all secrets with addresses, one a login and server."""
    return (
        "database-url-owner",
        *(login.secret(address) for login in LOGINS for address in login.addresses),
    )
