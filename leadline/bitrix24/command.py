"""One command of a batch; separate from the HTTP client, to keep cold starts short."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

#: By how much a call, from the decision to make it until no part of it can still run, may exceed
#: the portal's limit for a request: 5 s until the first byte is sent, 3 s until the last byte has
#: arrived, and a reserve.
CALL_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """A method with its parameters."""

    method: str
    params: Mapping[str, Any]

    def as_query(self) -> str:
        """`method?query`, the form that a batch takes."""
        pairs = (f"{_quoted(name)}={quote_plus(text)}" for name, text in _flatten(self.params))
        return f"{self.method}?{'&'.join(pairs)}"


#: Parameter names repeat from command to command.
_quoted = lru_cache(1000)(quote_plus)


def _flatten(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested values as PHP does: `fields[PHONE][0][VALUE]=…`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _flatten(inner, f"{name}[{index}]")
    else:
        yield name, "" if value is None else str(value)
