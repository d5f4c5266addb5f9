"""LIKE as the portal's database compares: `%` and `_`, without regard to case in any alphabet."""

import re
from functools import lru_cache


def like(pattern: str | None, value: object, escape: str = "\\") -> bool | None:
    """Whether `value` matches; None, as in SQL, if a side is None.

    SQLite's own LIKE ignores the case of Latin letters only.
    """
    if pattern is None or value is None:
        return None
    return _compiled(str(pattern), escape).fullmatch(str(value)) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str, escape: str) -> re.Pattern[str]:
    """The regular expression for a pattern of LIKE."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "")))
        elif character == "%":
            parts.append(".*")
        else:
            parts.append("." if character == "_" else re.escape(character))
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
