"""A request's parameters, in any of Bitrix24's four encodings.

GET query, JSON, urlencoded form and multipart give the same nested parameters. Bracketed names
(`fields[PHONE][0][VALUE]`) nest as PHP nests them; 0, 1, 2… make a list.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from emulator.errors import RestError

Params = dict[str, Any]

_DEPTH_MAX = 64
#: Names of parameters repeat from command to command; longer ones are not kept.
_CACHED_LENGTH = 100
_BRACKETS = re.compile(r"\[([^\]]*)\]")


async def read_params(request: web.Request) -> Params:
    """Query and body as one tree; the body has precedence. Raises RestError for invalid input."""
    params = from_query(request.rel_url.raw_query_string)
    content_type = request.content_type.lower()
    if content_type == "multipart/form-data":
        params.update(await _multipart(request))
        return params
    body = await request.read()
    if content_type.endswith("json"):
        params.update(from_json(body))
    elif body:
        params.update(from_query(body.decode("utf-8", "replace")))
    return params


def from_query(text: str) -> Params:
    """The tree of a query string or urlencoded form."""
    # Not parse_qsl: it decodes every name each time, which took a sixth of a command's time.
    parts = (pair.partition("=") for pair in text.split("&") if pair)
    return _tree((_quoted_path(name), _unquoted(value)) for name, _, value in parts)


def from_json(body: bytes) -> Params:
    """The object of a JSON body; an empty body has no parameters."""
    if not body.strip():
        return {}
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        raise RestError("INVALID_REQUEST", "Malformed JSON") from None
    if not isinstance(tree, dict):
        return {}
    return without_lone_surrogates(tree) if b"\\u" in body else tree


def nest(pairs: Iterable[tuple[str, str]]) -> Params:
    """Pairs of a decoded name, perhaps with brackets, and its value as a tree."""
    return _tree((_path(name), value) for name, value in pairs)


def _tree(pairs: Iterable[tuple[Sequence[str], str]]) -> Params:
    tree: Params = {}
    for path, value in pairs:
        _put(tree, path, value)
    return {name: _php_array(value) for name, value in tree.items()}


def without_lone_surrogates(value: Any) -> Any:
    """The same tree with `?` for each lone surrogate, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [without_lone_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {
            without_lone_surrogates(name): without_lone_surrogates(item)
            for name, item in value.items()
        }
    return value


async def _multipart(request: web.Request) -> Params:
    try:
        form = await request.post()
    except (ValueError, AssertionError):
        raise RestError("INVALID_REQUEST", "Unreadable form") from None
    return nest((name, value) for name, value in form.items() if isinstance(value, str))


def _quoted_path(quoted: str) -> Sequence[str]:
    """The path of a name that is still percent-encoded."""
    return _cached_path(quoted) if len(quoted) <= _CACHED_LENGTH else _path(_unquoted(quoted))


@lru_cache(maxsize=1000)
def _cached_path(quoted: str) -> Sequence[str]:
    return _path(_unquoted(quoted))


def _unquoted(text: str) -> str:
    return unquote_plus(text, errors="replace")


def _path(name: str) -> Sequence[str]:
    """`fields[PHONE][0]` as fields, PHONE, 0."""
    start = name.find("[")
    if start <= 0:
        return [name]
    return [name[:start], *_BRACKETS.findall(name[start:])[:_DEPTH_MAX]]


def _put(tree: Params, path: Sequence[str], value: str) -> None:
    for step in path[:-1]:
        below = tree.setdefault(_key(tree, step), {})
        if not isinstance(below, dict):
            return  # `a=1&a[b]=2`: the text that came first stays
        tree = below
    tree[_key(tree, path[-1])] = value


def _key(tree: Params, step: str) -> str:
    """The key of a step; an empty one, as in `a[]`, is the next index."""
    return step or str(len(tree))


def _php_array(value: Any) -> Any:
    """The tree with a list for each object that PHP would encode as one: keys 0, 1, 2 and so on."""
    if not isinstance(value, dict):
        return value
    if list(value) == [str(index) for index in range(len(value))]:
        return [_php_array(item) for item in value.values()]
    return {name: _php_array(item) for name, item in value.items()}
