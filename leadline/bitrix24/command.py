"""One command of a batch, in a module that needs no HTTP client: a cold start is short."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus

#: So much longer than the portal runs a request may a call last, from the decision to make it (5 s
#: until the first byte, 3 s to arrive, some to spare) until nothing of it can happen any more.
CALL_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """One method with its parameters."""

    method: str
    params: Mapping[str, Any]

    def as_query(self) -> str:
        """`method?query`, as a batch wants it."""
        pairs = (f"{_quoted(name)}={quote_plus(text)}" for name, text in _flatten(self.params))
        return f"{self.method}?{'&'.join(pairs)}"


#: Names recur from command to command.
_quoted = lru_cache(1000)(quote_plus)


def _flatten(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """PHP's way to write nested values: `fields[PHONE][0][VALUE]=…`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}[{key}]" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _flatten(inner, f"{name}[{index}]")
    else:
        yield name, "" if value is None else str(value)
