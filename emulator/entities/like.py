"""LIKE as the portal's database compares: `%` and `_`, without regard to case in any alphabet."""

import re
from functools import lru_cache


def like(pattern: str | None, value: object, escape: str = "\\") -> bool | None:
    """Whether `value` matches; SQLite's own LIKE ignores the case of Latin letters only."""
    if pattern is None or value is None:
        return None
    return _compiled(str(pattern), escape).fullmatch(str(value)) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str, escape: str) -> re.Pattern[str]:
    parts: list[str] = []
    letters = iter(pattern)
    for letter in letters:
        if letter == escape:
            parts.append(re.escape(next(letters, "")))
        elif letter == "%":
            parts.append(".*")
        else:
            parts.append("." if letter == "_" else re.escape(letter))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
