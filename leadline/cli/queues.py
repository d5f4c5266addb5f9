"""`leadline queues`: queues of an earlier version or of another type, and their migration."""

from typing import Annotated

import typer

from leadline.cli.output import FINDINGS, Json, print_json, print_line, print_note
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.connector import queue_arguments
from leadline.operations import audit
from leadline.operations.dead_letters import amqp_url

Migrate = Annotated[bool, typer.Option("--migrate", help="Give them the right arguments.")]


def queues(*, migrate: Migrate = False, yes: Yes = False, json: Json = False) -> None:
    """Show queues with wrong arguments, and fix them.

    After an upgrade, or another LEADLINE_QUEUE_TYPE, RabbitMQ refuses to declare queues that exist
    with other arguments. --migrate moves their messages out, redeclares the queues, and moves the
    messages back; publishing goes on meanwhile, and no message is lost. It asks first. Stop the
    connectors of the earlier version; AMQP_URL needs the right to configure and delete the queues.

    An interrupted migration continues when it is repeated.

    Examples:
        leadline queues
        leadline queues --migrate --yes --json
    """
    reasons = queue_arguments.declare_and_compare(amqp_url())
    if not migrate or not reasons:
        report = {"queues": [{"queue": name, "reason": why} for name, why in reasons.items()]}
        print_json(report) if json else _print(reasons)
        raise typer.Exit(FINDINGS if reasons else 0)
    confirm(f"Migrate {', '.join(reasons)}?", yes=yes)
    with audit.recorded("migrate queues", queues=[*reasons]) as record:
        moved = {name: queue_arguments.migrate(amqp_url(), name) for name in reasons}
        record["moved"] = moved
    if json:
        print_json({"migrated": [{"queue": name, "moved": n} for name, n in moved.items()]})
        return
    for name, count in moved.items():
        print_line(f"{name}: migrated, {count} messages moved")


def _print(reasons: dict[str, str]) -> None:
    for name, reason in reasons.items():
        print_line(f"{name}: {reason}")
    print_note(
        "migrate them: leadline queues --migrate" if reasons else "all queues are as they should be"
    )
