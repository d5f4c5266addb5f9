"""Reads the map's file; an error names the line, the key and what was expected."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from leadline.errors import BadConfiguration
from leadline.mapping.field_map import FieldMap
from leadline.mapping.user_field import UserField

#: Larger files are rejected.
MAX_BYTES = 256 * 1024
#: Maximum characters of a value that is quoted.
_SHORT = 40
#: A validator's message may begin with the key that it is about: `[fields.city]: …`.
_PLACE = re.compile(r"\[([^\]]+)\]: ")
_HEADER = re.compile(r"^\s*\[+([^\]]+)\]")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\"'-]+)\s*=")


def read(path: Path) -> FieldMap:
    """The map in this file.

    Raises:
        BadConfiguration: it can't be read, or has mistakes: the text names each of them.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadConfiguration(f"{path} can't be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise BadConfiguration(f"{path} is longer than {MAX_BYTES} bytes")
    try:
        return parse(content.decode())
    except UnicodeDecodeError:
        raise BadConfiguration(f"{path} is not UTF-8") from None
    except BadConfiguration as error:
        raise BadConfiguration(f"{path}: {error}") from None


def parse(text: str) -> FieldMap:
    """The map in this text.

    Raises:
        BadConfiguration: it has mistakes.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadConfiguration(f"is no TOML: {error or 'nested too deeply'}") from None
    try:
        return FieldMap.model_validate(content)
    except ValidationError as error:
        lines = text.splitlines()
        mistakes = dict.fromkeys(
            _mistake(lines, mistake) for mistake in error.errors(include_url=False)
        )
        raise BadConfiguration("; ".join(mistakes)) from None


def _mistake(lines: list[str], error: Any) -> str:
    """Where pydantic found this error: line, table and key; and what was expected."""
    # `fields`, a name and a key. For a union of types the path goes on with the type.
    keys = [str(part) for part in error["loc"]][:3]
    if keys[:1] == ["constants"]:
        keys = keys[:2]
    message = _message(error, keys)
    if prefix := _PLACE.match(message):
        keys, message = prefix[1].split("."), message[prefix.end() :]
    number = _line_of(lines, keys)
    position = f"line {number}, " if number else ""
    depth = 1 if keys[:1] == ["constants"] else 2
    table = f"[{'.'.join(keys[:depth])}] {'.'.join(keys[depth:])}".rstrip()
    return f"{position}{table}: {message}"


def _message(error: Any, keys: list[str]) -> str:
    """What was expected, and the value in its place if it is short."""
    kind: str = error["type"]
    message: str = error["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        model = UserField if keys[:1] == ["fields"] else FieldMap
        return f"is no key here: one of {', '.join(model.model_fields)}"
    value = error["input"]
    is_short = isinstance(value, str | int | float) and len(str(value)) <= _SHORT
    if kind == "value_error" or not is_short:  # our own validators quote what they need
        return message
    return f"{message}, found {value!r}"


def _line_of(lines: Iterable[str], keys: list[str]) -> int | None:
    """The line of this key, else of the innermost table around it that the file contains."""
    line_number: int | None = None
    depth = 0
    table: list[str] = []
    for number, line in enumerate(lines, 1):
        if header := _HEADER.match(line):
            table = [_bare(part) for part in header[1].split(".")]
            path = table
        elif key := _KEY.match(line):
            path = [*table, _bare(key[1])]
        else:
            continue
        shared = min(len(path), len(keys))
        if path[:shared] != keys[:shared]:
            continue
        if shared > depth:
            line_number, depth = number, shared
    return line_number


def _bare(key: str) -> str:
    return key.strip().strip("\"'")
