"""`leadline tail`: events as they happen."""

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from leadline.cli.output import Json, print_json, print_line, print_note, printable
from leadline.cli.terminal.times import Since, parse_moment
from leadline.errors import DatabaseDown
from leadline.operations.diagnosis.event_feed import EventFeed


class StepName(StrEnum):
    """The steps of a write that are shown."""

    ACCEPTED = "accepted"
    PUBLISHED = "published"
    SYNCED = "synced"
    SUPERSEDED = "superseded"
    FAILED = "failed"


def tail(
    *,
    user: Annotated[int | None, typer.Option(min=1, help="Only events of this user.")] = None,
    status: Annotated[
        list[StepName] | None, typer.Option(help="Only these steps. May be repeated.")
    ] = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many lines.")] = None,
    every: Annotated[
        float, typer.Option(min=0.2, max=60, metavar="SECONDS", help="Seconds between reads.")
    ] = 1.0,
    json: Json = False,
) -> None:
    """Follow events as they happen.

    A line for each step of a write: accepted, published (RabbitMQ has confirmed it), and its
    outcome: synced, superseded or failed. No names and phones. It begins now, or at --since, and
    ends by Ctrl-C or --limit. While Postgres can't be reached it waits, and then continues where it
    was. With --json a line of JSON for each step.

    Examples:
        leadline tail
        leadline tail --user 4300 --since 15m
        leadline tail --status failed --json
    """
    feed = EventFeed(parse_moment(since) if since else None, user)
    printed = 0
    for step in _steps(feed, every):
        if status and step["step"] not in status:
            continue
        print_json(step) if json else print_line(_line(step))
        printed += 1
        if printed == limit:
            return


def _steps(feed: EventFeed, every_s: float) -> Iterator[dict[str, Any]]:
    """Steps as they happen, without end; a note when Postgres is lost and when it is back."""
    is_lost = False
    while True:
        try:
            steps = feed.poll()
        except DatabaseDown as down:
            if not is_lost:
                print_note(f"{down}: waiting for it")
            is_lost = True
            steps = []
        else:
            if is_lost:
                print_note("Postgres is back")
            is_lost = False
        yield from steps
        if is_lost or not feed.is_behind:
            time.sleep(every_s)


def _line(step: dict[str, Any]) -> str:
    words = [
        printable(step["at"]),
        f"{step['step']:<10}",
        f"user {step['user_id']}",
        f"version {step['version']}",
        step["action"],
    ]
    if step["step"] == "accepted" and step["caller"]:
        words.append(f"by {step['caller']}")
    if step["attempts"]:
        words.append(f"attempts {step['attempts']}")
    if step["reason"]:
        words.append(step["reason"])
    return printable("  ".join(words))
