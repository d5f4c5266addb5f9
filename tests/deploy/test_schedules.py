"""Every schedule in a manifest or guide is one that Knative Eventing accepts."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.manifests import CHECKOUT, DEPLOY, of_kind, resources, stack, workloads

#: Minutes, hours, days of the month, months, days of the week.
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_SECONDS = (0, 59)
_MONTHS = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b", re.IGNORECASE)
_DAYS = re.compile(r"\b(?:sun|mon|tue|wed|thu|fri|sat)\b", re.IGNORECASE)
_DESCRIPTORS = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)


def is_accepted_by_eventing(schedule: str, *, has_seconds: bool = True) -> bool:
    """Whether Eventing's webhook accepts this `schedule` of a PingSource.

    Its validator refuses `@every` in any text, and leaves the rest to robfig/cron: five fields, a
    descriptor, and, since Eventing 1.13 (`has_seconds`), a sixth field for seconds in front.

    https://github.com/knative/eventing/blob/main/pkg/apis/sources/v1/ping_validation.go
    (`validateDescriptor`), https://github.com/knative/eventing/pull/7394 (seconds) and
    https://pkg.go.dev/github.com/robfig/cron/v3#ParseStandard
    """
    if "@every" in schedule:
        return False
    if schedule.startswith("@"):
        return schedule in _DESCRIPTORS
    fields = schedule.split()
    bounds = _BOUNDS if len(fields) == len(_BOUNDS) else (_SECONDS, *_BOUNDS)
    if len(fields) != len(bounds) or (len(fields) > len(_BOUNDS) and not has_seconds):
        return False
    return all(_is_field(*pair) for pair in zip(fields, bounds, strict=True))


def _is_field(field: str, bounds: tuple[int, int]) -> bool:
    """A list of `*`, `?`, a number or a range, each with an optional step."""
    return all(_is_range(_number_names(part), bounds) for part in field.split(","))


def _number_names(text: str) -> str:
    """Replace the names of months and days by 1, which is within the bounds of both."""
    return _DAYS.sub("1", _MONTHS.sub("1", text))


def _is_range(text: str, bounds: tuple[int, int]) -> bool:
    found = re.fullmatch(r"(?:[*?]|(\d+)(?:-(\d+))?)(?:/(\d+))?", text)
    if not found:
        return False
    first, last, step = (int(group) if group else None for group in found.groups())
    least, most = bounds
    inside = all(least <= bound <= most for bound in (first, last) if bound is not None)
    return inside and step != 0 and (first is None or last is None or first <= last)


@pytest.mark.parametrize(
    "schedule",
    ["* * * * *", "*/5 * * * *", "0 9-17 * * mon-fri", "15,45 0 1 jan ?", "@hourly", "0/5 * * * *"],
)
def test_valid_schedules_are_accepted_by_eventing(schedule: str) -> None:
    assert is_accepted_by_eventing(schedule, has_seconds=False)
    assert is_accepted_by_eventing(schedule)


@pytest.mark.parametrize(
    "schedule",
    ["@every 5s", "TZ=UTC @every 1m", "@often", "2", "", "60 * * * *", "* * 0 * *", "*/0 * * * *"],
)
def test_invalid_schedules_are_refused_by_eventing(schedule: str) -> None:
    assert not is_accepted_by_eventing(schedule)


@pytest.mark.parametrize("schedule", ["*/5 * * * * *", "10 0/5 * * * ?"])
def test_schedules_with_seconds_are_accepted_since_eventing_1_13(schedule: str) -> None:
    assert is_accepted_by_eventing(schedule)
    assert not is_accepted_by_eventing(schedule, has_seconds=False)


def _schedules(value: Any) -> Iterator[str]:
    """Every `schedule` of a manifest, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _schedules(item)
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "schedule" and isinstance(item, str):
                yield item
            yield from _schedules(item)


def test_every_schedule_in_manifests_and_guides_is_accepted() -> None:
    found = [schedule for _, document in resources() for schedule in _schedules(document)]
    for guide in (CHECKOUT / "docs").rglob("*.md"):
        found += re.findall(r"""\bschedule:\s*["']([^"']+)""", guide.read_text(encoding="utf-8"))
    assert [schedule for schedule in found if not is_accepted_by_eventing(schedule)] == []


def test_the_relay_keeps_its_own_time_on_each_platform() -> None:
    """Platform timers can't send the key that outbox-relay requires."""
    assert not [document for kind in ("PingSource", "CronJob") for document in of_kind(kind)]
    for function in stack().functions.values():
        assert not function.annotations.keys() & {"schedule"}
        assert "cron" not in function.annotations.get("topic", "")
    arguments = workloads()["relay"].body["args"]
    assert 1 <= float(arguments[arguments.index("--every") + 1]) <= 10
    for platform in ("knative", "kubernetes"):
        (used,) = re.findall(
            r"^ *- (\S*base)$",
            (DEPLOY / platform / "base/kustomization.yaml").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert (DEPLOY / platform / "base" / used).resolve() == DEPLOY / "base"
