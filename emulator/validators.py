"""Validators of values from the control API; each returns the value or raises ValueError."""

import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_ROBOTS_MAX = 100
_ROBOT_KEYS = {"entityTypeId", "on", "set", "stage", "user"}


@dataclass(frozen=True)
class Number:
    """A finite number between two bounds; null if `is_optional`."""

    low: float
    high: float
    is_optional: bool = False

    def check(self, value: object) -> float | None:
        """Return the number unchanged."""
        if value is None and self.is_optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong_type("must be a number" + (" or null" if self.is_optional else ""))
        if math.isnan(value) or not self.low <= value <= self.high:
            raise ValueError(f"must be between {self.low:g} and {self.high:g}")
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number between two bounds; null if `is_optional`."""

    low: int
    high: int
    is_optional: bool = False

    def check(self, value: object) -> int | None:
        """Return the number unchanged."""
        if value is None and self.is_optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type("must be a whole number")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        return value


class Choice:
    """One of a few values."""

    def __init__(self, *values: str | int) -> None:
        self.values = values

    def check(self, value: object) -> str | int:
        """Return the value unchanged."""
        for allowed in self.values:
            if type(value) is type(allowed) and value == allowed:
                return allowed
        raise ValueError("must be one of " + ", ".join(str(allowed) for allowed in self.values))


class Flag:
    """True or false."""

    def check(self, value: object) -> bool:
        """Return the value unchanged."""
        if not isinstance(value, bool):
            raise _wrong_type("must be true or false")
        return value


@dataclass(frozen=True)
class Text:
    """A text of at most `max_length` characters; null if `is_optional`."""

    max_length: int
    is_optional: bool = False

    def check(self, value: object) -> str | None:
        """Return the text unchanged."""
        if value is None and self.is_optional:
            return None
        if not isinstance(value, str) or len(value) > self.max_length:
            raise ValueError(f"must be a text of at most {self.max_length} characters")
        return value


class Names:
    """A list of names."""

    def check(self, value: object) -> tuple[str, ...]:
        """Return the names as a tuple."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("must be a list of names")
        return tuple(value)


class Robots:
    """A list of robots' rules: type of object, trigger, stage, and the fields that the robot sets.

    `writes/robots.py` applies them.
    """

    def check(self, value: object) -> tuple[dict[str, Any], ...]:
        """Return the rules as a tuple."""
        if not isinstance(value, list) or len(value) > _ROBOTS_MAX:
            raise ValueError(f"must be a list of at most {_ROBOTS_MAX} rules")
        for rule in value:
            if not isinstance(rule, dict) or not rule.keys() <= _ROBOT_KEYS:
                raise ValueError("a rule has the keys " + ", ".join(sorted(_ROBOT_KEYS)))
            if rule.get("entityTypeId") not in (1, 2, 3, 4):
                raise ValueError("entityTypeId must be 1, 2, 3 or 4")
            if rule.get("on") not in ("add", "update", "move"):
                raise ValueError("on must be add, update or move")
            if not isinstance(rule.get("set"), dict) or not rule["set"]:
                raise ValueError("set must be an object of fields")
            if rule.get("user", 1) not in (1, 2, 3):
                raise ValueError("user must be 1, 2 or 3")
            if not isinstance(rule.get("stage", ""), str):
                raise _wrong_type("stage must be a text")
        return tuple(value)


class WebAddress:
    """An http or https URL, or null."""

    def check(self, value: object) -> str | None:
        """Return the URL unchanged."""
        if value is None:
            return None
        if not is_web_address(value):
            raise ValueError("must be an http or https URL, or null")
        return str(value)


def _wrong_type(reason: str) -> ValueError:
    """The error for a wrong type: a ValueError, as for any other failed check, no TypeError."""
    return ValueError(reason)


def is_web_address(value: object) -> bool:
    """Whether `value` is an http(s) URL with a host."""
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
