"""`$result[key][field]` in a batch: references to results of earlier commands."""

import re
from collections.abc import Mapping
from typing import Any

_REFERENCE = re.compile(r"\$result((?:\[[^\[\]]*\])+)")
_STEP = re.compile(r"\[([^\[\]]*)\]")
_MISSING = object()


def substitute(value: Any, results: Mapping[str, Any]) -> Any:
    """The same tree with references replaced; those that resolve to nothing stay as they are."""
    if isinstance(value, dict):
        return {name: substitute(item, results) for name, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, results) for item in value]
    if isinstance(value, str) and "$result[" in value:
        return _replace(value, results)
    return value


def _replace(text: str, results: Mapping[str, Any]) -> Any:
    reference = _REFERENCE.fullmatch(text)
    if reference:
        found = _look_up(reference.group(1), results)
        return text if found is _MISSING else found
    return _REFERENCE.sub(lambda match: _as_text(match, results), text)


def _as_text(match: re.Match[str], results: Mapping[str, Any]) -> str:
    found = _look_up(match.group(1), results)
    if found is _MISSING or isinstance(found, dict | list):
        return match.group(0)
    return "" if found is None else str(found)


def _look_up(path: str, results: Mapping[str, Any]) -> Any:
    """The value at a path such as `[key][field]`, or _MISSING."""
    found: Any = results
    for step in _STEP.findall(path):
        if isinstance(found, Mapping) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.isdecimal() and int(step[:9]) < len(found):
            found = found[int(step[:9])]  # nine digits are more than any list has elements
        else:
            return _MISSING
    return found
