"""`leadline doctor`: check every setting and connection, and say how to fix problems."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import phonenumbers
import typer

from leadline.cli import portal
from leadline.cli.checks import broker_tags, mapping, nodes, rights
from leadline.cli.checks.check import Check
from leadline.cli.checks.results import results
from leadline.cli.output import FINDINGS, Json, print_json, print_table
from leadline.errors import BadConfiguration, LeadlineError, QueueError
from leadline.ledger.backlog import counts
from leadline.mapping import portal_fields
from leadline.mapping.current import defect, field_map
from leadline.messages import topology
from leadline.operations import health
from leadline.runtime import secrets
from leadline.runtime.http import auth
from leadline.runtime.postgres import installation, migrate
from leadline.runtime.postgres.pool import StatementError, database
from leadline.runtime.redis import client, reachable
from leadline.settings import settings
from leadline.workqueue.outage import Outage


def doctor(*, json: Json = False) -> None:
    """Check every setting and connection.

    The last column says how to fix a problem. Exit code 1: there are problems.

    Examples:
        leadline doctor
        leadline doctor --json
    """
    checks = [check for part in _PARTS for check in _run(*part)]
    is_ok = all(check.is_ok for check in checks)
    if json:
        print_json({"is_well": is_ok, "checks": [check.as_json() for check in checks]})
    else:
        rows = (
            ["ok" if check.is_ok else "!!", check.name, check.result, check.fix] for check in checks
        )
        print_table(("", "check", "result", "fix"), rows)
    if not is_ok:
        raise typer.Exit(FINDINGS)


def _settings() -> Iterator[Check]:
    current = settings()
    region = current.phone_region
    is_valid_region = not region or region in phonenumbers.SUPPORTED_REGIONS
    yield Check(
        "LEADLINE_PHONE_REGION",
        is_valid_region,
        region or "none: phones need a country code",
        "" if is_valid_region else "an ISO 3166 code such as KZ",
    )
    cleartext = ", ".join(sorted(current.cleartext))
    result = (
        f"{cleartext} may be reached without TLS" if cleartext else "nothing beyond this machine"
    )
    yield Check("LEADLINE_CLEARTEXT", is_ok=True, result=result)
    yield _keys()
    if current.mapping:
        yield _field_map()


def _field_map() -> Check:
    try:
        current_map = field_map()
        mistake = defect()
    except BadConfiguration as error:
        current_map = None
        mistake = str(error)
    if current_map is None or mistake:
        fix = "correct the file; leadline mapping check FILE --offline"
        return Check("LEADLINE_MAPPING", is_ok=False, result=str(mistake), fix=fix)
    result = f"{len(current_map.fields)} fields, {len(current_map.constants)} constants"
    return Check("LEADLINE_MAPPING", is_ok=True, result=result)


def _keys() -> Check:
    if settings().auth == "off":
        return Check("API keys", is_ok=True, result="not required (LEADLINE_AUTH=off)")
    keys = auth.keys()
    if not keys and auth.own_key() is not None:
        return Check("API keys", is_ok=True, result="not known to this process")
    if not keys:
        fix = "mount the secret api-keys, or set LEADLINE_AUTH=off"
        return Check("API keys", is_ok=False, result="none here", fix=fix)
    unusable = sum(bool(key.defect) or key.is_expired for key in keys)
    unhashed = sum(key.is_plain for key in keys)
    result = f"{len(keys)}, {unhashed} of them not hashed, {unusable} invalid or expired"
    fix = "leadline keys list" if unusable or unhashed else ""
    return Check("API keys", is_ok=not unusable, result=result, fix=fix)


def _database() -> Iterator[Check]:
    yield from nodes.postgres(secrets.require("database-url"))
    database().run("SELECT 1 AS one")
    yield Check("Postgres", is_ok=True, result="answers")
    yield _login("Postgres", *rights.postgres())
    try:
        (row,) = database().run("SELECT version_num AS revision FROM alembic_version")
        revision = str(row["revision"])
    except StatementError:
        revision = "none"
    expected = migrate.newest()
    is_migrated = revision != "none" and revision >= expected
    fix = "" if is_migrated else "python -m leadline.runtime.postgres.migrate"
    yield Check("schema", is_migrated, f"revision {revision} of {expected}", fix)
    if revision == "none":
        return
    overdue_s = counts().overdue_s or 0.0
    is_running = not health.is_relay_late(overdue_s)
    result = "nothing is overdue" if overdue_s <= 0 else f"overdue for {overdue_s:.0f} s"
    yield Check(
        "relay", is_running, result, "" if is_running else "call outbox-relay every few seconds"
    )
    if is_migrated:
        yield from _installation()


def _login(server: str, name: str, surplus: list[str]) -> Check:
    result = f"{name}: {', '.join(surplus)}" if surplus else name
    fix = "scripts/logins makes restricted logins for each process" if surplus else ""
    return Check(f"login at {server}", not surplus, result, fix)


def _broker_login(url: str) -> Check:
    name = broker_tags.login(url)
    surplus = broker_tags.surplus(url)
    if surplus is None:
        result = f"{name}; its tags are unknown, as no management API answers"
        return Check("login at RabbitMQ", is_ok=True, result=result)
    return _login("RabbitMQ", name, surplus)


def _installation() -> Iterator[Check]:
    stored = installation.stored()
    result = settings().originator_id or stored.originator_id
    if result != stored.originator_id:
        result += f" by LEADLINE_ORIGINATOR_ID; the database has {stored.originator_id}"
    yield Check("originator", is_ok=True, result=result)
    since = datetime.fromtimestamp(stored.history / 1000).astimezone()
    result = f"of Postgres, {stored.history}, since {since:%Y-%m-%d %H:%M:%S}"
    if stored.is_sweeping:
        result += f"; leads are compared: users up to {stored.swept_to} of {stored.sweep_to}"
    yield Check("history", is_ok=True, result=result)


def _broker() -> Iterator[Check]:
    yield from nodes.rabbitmq(secrets.require("amqp-url"))
    queues = health.queues()
    yield Check("RabbitMQ", is_ok=True, result="answers")
    yield _broker_login(secrets.require("amqp-url"))
    missing = queues.missing
    fix = "start the connector: it declares them" if missing else ""
    yield Check(
        "queues", not missing, f"missing: {', '.join(missing)}" if missing else "all present", fix
    )
    for name in (topology.REQUESTS, topology.REPLIES):
        depth = queues.depths[name]
        if depth is not None:
            fix = "" if depth.consumers else "start the connector, with a route for this queue"
            result = f"{depth.consumers} consumers, {depth.messages} messages"
            yield Check(name, depth.consumers > 0, result, fix)
        dead = queues.depths[topology.dead_letter_name(name)]
        if dead is not None:
            fix = "leadline dead-letters list" if dead.messages else ""
            yield Check(
                topology.dead_letter_name(name), not dead.messages, f"{dead.messages} messages", fix
            )


def _redis() -> Iterator[Check]:
    yield from nodes.redis(secrets.require("redis-url"))
    with reachable():
        info: dict[str, Any] = client().info()
    yield Check("Redis", is_ok=True, result="answers")
    yield _login("Redis", *rights.redis_())
    policy = str(info.get("maxmemory_policy"))
    fix = "" if policy == "noeviction" else "CONFIG SET maxmemory-policy noeviction"
    yield Check("Redis' memory", policy == "noeviction", f"maxmemory-policy {policy}", fix)
    is_persistent = bool(info.get("aof_enabled"))
    result = (
        "appendonly yes"
        if is_persistent
        else "appendonly no: a restart costs lookups, but loses nothing"
    )
    yield Check("Redis' persistence", is_ok=True, result=result)
    work = health.work()
    result = "none was ever seen" if work.silence_s is None else f"seen {work.silence_s:.0f} s ago"
    fix = "" if work.has_worker else "python -m leadline.sync.worker"
    yield Check("workers", work.has_worker, result, fix)


def _portal() -> Iterator[Check]:
    unreachable = health.portal().unreachable  # read first: a successful call clears it
    yield from _portal_calls(unreachable)
    yield from _misfits()


def _misfits() -> Iterator[Check]:
    """Parts of the field map that the portal would refuse now."""
    try:
        current_map = field_map()
    except BadConfiguration:  # a finding of `_field_map`
        return
    if current_map is None:
        return
    for misfit in portal_fields.misfits(current_map, mapping.read_portal(current_map)):
        fix = "change the map or the portal; leadline mapping check"
        name = f"field {misfit.field or misfit.lead}"
        yield Check(name, is_ok=False, result=f"{misfit.lead}: {misfit.problem}", fix=fix)


def _portal_calls(unreachable: Outage | None) -> Iterator[Check]:
    report, problems = portal.probe()
    fix = (
        ""
        if report["alive"]
        else "check BITRIX_WEBHOOK_URL, or make a new webhook with the scope crm"
    )
    yield Check("Bitrix24", report["alive"], "answers" if report["alive"] else problems[0], fix)
    for text in problems if report["alive"] else ():
        yield Check("portal", is_ok=False, result=text, fix="change the portal's settings")
    if unreachable is not None:
        text = f"{unreachable.code} for {unreachable.lasts_s:.0f} s: {unreachable.reason}"
        fix = "check the webhook's host, and whether workers can reach it"
        yield Check("workers' calls", is_ok=False, result=text, fix=fix)
    pause = health.portal().pause
    if pause is not None:
        text = f"by the portal: {pause.reason}"
        fix = "fix the cause; the next probe resumes calls"
        if pause.is_manual_hold:
            text = f"by an operator: {pause.reason or 'no reason given'}"
            fix = "leadline portal resume"
        yield Check("pause", is_ok=False, result=text, fix=fix)


#: Each part, the setting with its URL, and its checks.
_PARTS: tuple[tuple[str, str, Callable[[], Iterator[Check]]], ...] = (
    ("settings", "", _settings),
    ("Postgres", "DATABASE_URL", _database),
    ("RabbitMQ", "AMQP_URL", _broker),
    ("Redis", "REDIS_URL", _redis),
    ("Bitrix24", "BITRIX_WEBHOOK_URL", _portal),
    ("results", "DATABASE_URL and the secret result-endpoints", results),
)


def _run(name: str, setting: str, run_checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """The checks of one part; if it can't be reached, that is its last check."""
    try:
        yield from run_checks()
    except QueueError:
        fix = "check that Redis is up, and REDIS_URL"
        yield Check(name, is_ok=False, result="Redis can't be reached", fix=fix)
    except (LeadlineError, StatementError) as error:
        fix = f"check that it is up, and {setting}"
        yield Check(name, is_ok=False, result=str(error), fix=fix)
