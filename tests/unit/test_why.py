"""Why a user is not in Bitrix24: one rule and one wording for console and command line."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leadline.operations.diagnosis.why import SENTENCES, Why, why

PAGE = Path(__file__).parents[2] / "functions/console/page"
AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ALL = ("accepted", "published", "received", "attempt")


def texts() -> dict[str, list[str]]:
    """The console's texts by name, in each language, from the files of its texts."""
    found: dict[str, list[str]] = {}
    for file in sorted(PAGE.glob("texts/*.js")):
        for name, text in re.findall(r'\b(\w+): "((?:[^"\\]|\\.)*)"', file.read_text("utf-8")):
            found.setdefault(name, []).append(text)
    return found


@pytest.mark.parametrize("code", SENTENCES)
def test_the_console_has_each_sentence_in_english_and_in_russian(code: str) -> None:
    sentences = texts()[code]
    assert SENTENCES[code] in sentences
    assert len(sentences) == 2
    places = [set(re.findall(r"\{\w+\}", sentence)) for sentence in sentences]
    assert places[0] == places[1]


def waiting(next_try_at: datetime | None = None) -> dict[str, Any]:
    return {"status": "waiting", "next_try_at": next_try_at}


@pytest.mark.parametrize(
    ("sync", "steps", "paused", "expected"),
    [
        # `paused`: why calls are paused, "" for no reason; None: they are not.
        ({"status": "synced"}, ALL, None, Why("allWell")),
        ({"status": "synced"}, ALL, "revoked", Why("allWell")),
        ({"status": "failed"}, ALL, "revoked", Why("whyPermanent")),
        ({"status": "failed", "retry_at": AT}, ALL, None, Why("whyTransient", AT)),
        ({"status": "failed", "retry_at": AT.isoformat()}, ALL, None, Why("whyTransient", AT)),
        (waiting(AT), ALL, "revoked", Why("whyPaused", reason="revoked")),
        (waiting(), ALL[:1], "", Why("whyPaused", reason="")),
        (waiting(), ALL[:1], None, Why("whyUnpublished")),
        (waiting(), ALL[:2], None, Why("whyUnreceived")),
        (waiting(AT), ALL[:3], None, Why("whyUntried", AT)),
        (waiting(AT), ALL, None, Why("whyTried", AT)),
        (waiting(), ALL, None, Why("whyInFlight")),
        (waiting(), (), None, Why("whyUnpublished")),
    ],
)
def test_the_first_obstacle_of_a_user_is_the_reason(
    sync: dict[str, Any], steps: tuple[str, ...], paused: str | None, expected: Why
) -> None:
    assert why(sync, steps, paused) == expected


def test_the_sentence_has_the_time_and_the_reason() -> None:
    format_time = lambda at: f"{at:%H:%M}"  # noqa: E731 - as short as it is
    assert "not before 12:00" in Why("whyTried", AT).sentence(format_time)
    assert "paused: revoked." in Why("whyPaused", reason="revoked").sentence(format_time)
    assert "paused: by an operator." in Why("whyPaused").sentence(format_time)
