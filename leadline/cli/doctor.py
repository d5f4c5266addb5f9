"""`leadline doctor`: every setting and connection, and how to mend what is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import phonenumbers
import redis
import typer

from leadline.cli import broker_tags, portal
from leadline.cli.output import FOUND, Json, as_json, table
from leadline.connector.queue_depths import depths
from leadline.errors import LeadlineError, QueueDown
from leadline.ledger.backlog import counts
from leadline.messages import topology
from leadline.runtime import secrets
from leadline.runtime.http import auth
from leadline.runtime.postgres import installation, migrate
from leadline.runtime.postgres.pool import StatementError, database
from leadline.runtime.redis import client
from leadline.settings import settings
from leadline.sync import portal_session

#: Workers say each second that they live.
SILENT_S = 30.0
#: The relay comes every few seconds.
OVERDUE_S = 120.0
#: What a login may do that only whoever migrates or administers needs.
_RIGHTS = """
SELECT rolname AS name, rolsuper AS superuser, rolcreatedb AS "creates databases",
       rolcreaterole AS "creates roles", rolreplication AS replication,
       COALESCE(pg_has_role(rolname, relowner, 'MEMBER'), false) AS "owns the tables"
FROM pg_roles LEFT JOIN pg_class ON pg_class.oid = to_regclass('users')
WHERE rolname = current_user
"""
#: Commands of Redis that no part of ours needs.
_ADMINISTRATORS = ("FLUSHALL", "KEYS *", "CONFIG SET maxmemory 0", "ACL SETUSER default")
#: Asks Redis without trying, as each try is entered in `ACL LOG`. A command that a provider has
#: taken out is an error there, and nobody may run it.
_MAY = f"""
local found = {{}}
for _, one in ipairs({{{", ".join(f"'{command}'" for command in _ADMINISTRATORS)}}}) do
  local words = {{}}
  for word in string.gmatch(one, '%S+') do table.insert(words, word) end
  local ok, may = pcall(redis.acl_check_cmd, unpack(words))
  if ok and may then table.insert(found, words[1]) end
end
return redis.acl_check_cmd and found or redis.error_reply('ERR before Redis 7')
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at."""

    name: str
    is_well: bool
    told: str
    #: What to do about it.
    mend: str = ""


def doctor(*, json: Json = False) -> None:
    """Check every setting and connection, and say how to mend what is wrong.

    Exit code 1: something is not well.
    """
    checks = [check for examine in _EXAMINATIONS for check in _safely(examine)]
    is_well = all(check.is_well for check in checks)
    if json:
        as_json({"is_well": is_well, "checks": [asdict(check) for check in checks]})
    else:
        rows = (["ok" if one.is_well else "!!", one.name, one.told, one.mend] for one in checks)
        table(("", "what", "how it is", "mend"), rows)
    if not is_well:
        raise typer.Exit(FOUND)


def _settings() -> Iterator[Check]:
    chosen = settings()
    region = chosen.phone_region
    is_region = not region or region in phonenumbers.SUPPORTED_REGIONS
    yield Check(
        "LEADLINE_PHONE_REGION",
        is_region,
        region or "none: phones need a country code",
        "" if is_region else "an ISO 3166 code such as KZ",
    )
    in_clear = ", ".join(sorted(chosen.cleartext))
    told = f"{in_clear} may be reached without TLS" if in_clear else "nothing beyond this machine"
    yield Check("LEADLINE_CLEARTEXT", is_well=True, told=told)
    yield _keys()


def _keys() -> Check:
    if settings().auth == "off":
        return Check("API keys", is_well=True, told="none are asked for (LEADLINE_AUTH=off)")
    found = auth.keys()
    if not found and auth.own_key() is not None:
        return Check("API keys", is_well=True, told="not known to this process")
    if not found:
        mend = "mount the secret api-keys, or set LEADLINE_AUTH=off"
        return Check("API keys", is_well=False, told="none here", mend=mend)
    odd = sum(bool(key.defect) or key.is_expired for key in found)
    plain = sum(key.is_plain for key in found)
    told = f"{len(found)}, {plain} of them not hashed, {odd} that open nothing"
    mend = "leadline keys list" if odd or plain else ""
    return Check("API keys", is_well=not odd, told=told, mend=mend)


def _database() -> Iterator[Check]:
    database().run("SELECT 1 AS one")
    yield Check("Postgres", is_well=True, told="answers")
    yield _login("Postgres", *_postgres_rights())
    try:
        (row,) = database().run("SELECT version_num AS revision FROM alembic_version")
        found = str(row["revision"])
    except StatementError:
        found = "none"
    is_newest = found == migrate.newest()
    mend = "" if is_newest else "python -m leadline.runtime.postgres.migrate"
    yield Check("schema", is_newest, f"revision {found} of {migrate.newest()}", mend)
    if found == "none":
        return
    overdue_s = counts().overdue_s or 0.0
    is_swept = overdue_s < OVERDUE_S
    told = (
        "nothing waits for it"
        if overdue_s <= 0
        else f"has had something to do for {overdue_s:.0f} s"
    )
    yield Check("relay", is_swept, told, "" if is_swept else "call outbox-relay every few seconds")
    if is_newest:
        yield from _installation()


def _postgres_rights() -> tuple[str, list[str]]:
    """Whose login this is, and what it may do that no part of ours needs."""
    (row,) = database().run(_RIGHTS)
    return str(row.pop("name")), [right for right, has_it in row.items() if has_it]


def _redis_rights() -> tuple[str, list[str]]:
    """As `_postgres_rights`; before Redis 7, which tells it, the user `default` may do all."""
    try:
        name = str(client().acl_whoami())
    except redis.exceptions.NoPermissionError:
        name = "one with rights of its own"
    except redis.ResponseError:  # before Redis 6 there are no users
        name = "default"
    try:
        found: list[Any] = client().evalsha(client().script_load(_MAY), 0)
    except redis.ResponseError:
        return name, ["every command"] if name == "default" else []
    surplus = [one.decode() if isinstance(one, bytes) else one for one in found]
    return name, ["every command"] if len(surplus) == len(_ADMINISTRATORS) else surplus


def _login(server: str, name: str, surplus: list[str]) -> Check:
    told = f"{name}: {', '.join(surplus)}" if surplus else name
    mend = "scripts/logins makes lesser ones for each part" if surplus else ""
    return Check(f"login at {server}", not surplus, told, mend)


def _broker_login(url: str) -> Check:
    surplus, name = broker_tags.surplus(url), broker_tags.login(url)
    if surplus is None:
        told = f"{name}; its tags are not seen, as no management API answers"
        return Check("login at RabbitMQ", is_well=True, told=told)
    return _login("RabbitMQ", name, surplus)


def _installation() -> Iterator[Check]:
    one = installation.stored()
    told = settings().originator_id or one.originator_id
    if told != one.originator_id:
        told += f" by LEADLINE_ORIGINATOR_ID; the database keeps {one.originator_id}"
    yield Check("originator", is_well=True, told=told)
    since = datetime.fromtimestamp(one.history / 1000).astimezone()
    told = f"of Postgres, {one.history}, since {since:%Y-%m-%d %H:%M:%S}"
    if one.is_sweeping:
        told += f"; leads are compared: users up to {one.swept_to} of {one.sweep_to}"
    yield Check("history", is_well=True, told=told)


def _broker() -> Iterator[Check]:
    found = depths(secrets.require("amqp-url"), [one.name for one in topology.all_queues()])
    yield Check("RabbitMQ", is_well=True, told="answers")
    yield _broker_login(secrets.require("amqp-url"))
    missing = [name for name, depth in found.items() if depth is None]
    mend = "start the connector: it declares them" if missing else ""
    yield Check(
        "queues", not missing, f"missing: {', '.join(missing)}" if missing else "all there", mend
    )
    for name in (topology.REQUESTS, topology.REPLIES):
        depth = found[name]
        if depth is not None:
            mend = (
                "" if depth.consumers else "start the connector, and give it a route for this queue"
            )
            told = f"{depth.consumers} consumers, {depth.messages} messages"
            yield Check(name, depth.consumers > 0, told, mend)
        dead = found[topology.dead_letter_name(name)]
        if dead is not None:
            mend = "leadline dead-letters list" if dead.messages else ""
            yield Check(
                topology.dead_letter_name(name),
                not dead.messages,
                f"{dead.messages} messages",
                mend,
            )


def _redis() -> Iterator[Check]:
    facts: dict[str, Any] = client().info()
    yield Check("Redis", is_well=True, told="answers")
    yield _login("Redis", *_redis_rights())
    policy = str(facts.get("maxmemory_policy"))
    mend = "" if policy == "noeviction" else "CONFIG SET maxmemory-policy noeviction"
    yield Check("Redis' memory", policy == "noeviction", f"maxmemory-policy {policy}", mend)
    is_kept = bool(facts.get("aof_enabled"))
    told = "appendonly yes" if is_kept else "appendonly no: a restart costs look-ups, no data"
    yield Check("Redis' persistence", is_well=True, told=told)
    silence_s = portal_session.worker_heartbeats().silence_s()
    is_alive = silence_s is not None and silence_s < SILENT_S
    told = "none was ever seen" if silence_s is None else f"seen {silence_s:.0f} s ago"
    yield Check("workers", is_alive, told, "" if is_alive else "python -m leadline.sync.worker")


def _portal() -> Iterator[Check]:
    unreachable = portal_session.reachability().state()  # before an answer that we get ends it
    told, trouble = portal.examine()
    mend = (
        ""
        if told["alive"]
        else "is BITRIX_WEBHOOK_URL the portal's address? Else a new webhook with the right crm"
    )
    yield Check("Bitrix24", told["alive"], "answers" if told["alive"] else trouble[0], mend)
    for text in trouble if told["alive"] else ():
        yield Check("portal", is_well=False, told=text, mend="in the portal's settings")
    if unreachable is not None:
        text = f"{unreachable.code} for {unreachable.lasts_s:.0f} s: {unreachable.reason}"
        mend = "is the webhook's host right, and reachable from the workers?"
        yield Check("workers' calls", is_well=False, told=text, mend=mend)
    pause = portal_session.circuit_breaker().state()
    if pause is not None:
        text = f"since its last refusal: {pause.reason}"
        mend = "mend the reason; it ends with the next probe"
        if pause.is_held:
            text = f"by an operator: {pause.reason or 'no reason given'}"
            mend = "leadline portal resume"
        yield Check("pause", is_well=False, told=text, mend=mend)


_EXAMINATIONS: tuple[Callable[[], Iterator[Check]], ...] = (
    _settings,
    _database,
    _broker,
    _redis,
    _portal,
)
_NAMES = ("settings", "Postgres", "RabbitMQ", "Redis", "Bitrix24")
_MENDS = ("", "DATABASE_URL", "AMQP_URL", "REDIS_URL", "BITRIX_WEBHOOK_URL")


def _safely(examine: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of one part; one that can't be reached must not hide the others."""
    at = _EXAMINATIONS.index(examine)
    try:
        yield from examine()
    except (QueueDown, redis.RedisError):
        told, mend = "Redis can't be reached", "is Redis up, and REDIS_URL right?"
        yield Check(_NAMES[at], is_well=False, told=told, mend=mend)
    except (LeadlineError, StatementError) as error:
        mend = f"is it up, and {_MENDS[at]} right?"
        yield Check(_NAMES[at], is_well=False, told=str(error), mend=mend)
