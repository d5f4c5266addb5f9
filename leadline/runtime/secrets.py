"""Secrets from files or environment variables.

A secret `database-url` is read from the file `/var/openfaas/secrets/database-url` (OpenFaaS; the
Knative manifests mount the same path) or `…/database-url/database-url` (as `faas-cli generate`
mounts it for Knative: a folder per secret), else from the environment variable `DATABASE_URL`.
`DATABASE_URL_FILE` names another file, in that folder or elsewhere, to read instead: so processes
that share a folder can have different logins (`database-url-reader`).
Files are checked on each use, so a rotated secret takes effect without a restart.
"""

import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import unquote

from leadline.errors import BadConfiguration
from leadline.runtime.hosts import with_first_host

#: A server's URL, or how to read it: it contains the password, which may be rotated.
UrlSource = str | Callable[[], str]

DEFAULT_FOLDER = "/var/openfaas/secrets"


def get(name: str) -> str | None:
    """The secret's text, stripped; None if it is neither in a file nor in the environment.

    Raises:
        BadConfiguration: this process's user may not read the file or its folder.
    """
    folder = os.environ.get("LEADLINE_SECRETS_DIR", DEFAULT_FOLDER)
    variable = _variable(name)
    other_file = os.environ.get(f"{variable}_FILE")
    for candidate in _candidates(folder, other_file or name):
        try:
            status = os.stat(candidate)  # noqa: PTH116 - on each request, and a Path takes five times as long
            if stat.S_ISREG(status.st_mode):
                return _text(candidate, status.st_ino, status.st_size, status.st_mtime_ns)
        except PermissionError:
            raise BadConfiguration(f"user {os.getuid()} may not read {candidate}") from None
        except OSError:
            continue
    value = "" if other_file else os.environ.get(variable, "").strip()
    if value and value not in _parts_by_value:
        _remember(value)
    return value or None


def require(name: str) -> str:
    """As `get`, for a secret that must exist.

    Raises:
        BadConfiguration: there is no such secret.
    """
    value = get(name)
    if value is None:
        variable = _variable(name)
        raise BadConfiguration(f"set {variable} or mount the secret file {name}")
    return value


def url_source(name: str) -> UrlSource:
    """The URL in this secret, to be read for each connection; reading it raises as `require`."""
    return partial(require, name)


def resolve(source: UrlSource) -> str:
    """The current URL."""
    return source if isinstance(source, str) else source()


@lru_cache(maxsize=32)
def _candidates(folder: str, name: str) -> tuple[str, str]:
    """The files that may contain this secret, in the order in which they are tried."""
    path = Path(folder, name)
    return str(path), str(path / path.name)


@lru_cache(maxsize=32)
def _variable(name: str) -> str:
    return name.replace("-", "_").upper()


def confidential() -> tuple[str, ...]:
    """Texts that no log line may contain: passwords, keys and codes that this process has read."""
    return _confidential


@lru_cache(maxsize=32)
def _text(path: str, _inode: int, _size: int, _mtime_ns: int) -> str:
    """The file's text, cached until the file changes, as in a rotation."""
    value = Path(path).read_text(encoding="utf-8").strip()
    _remember(value)
    return value


#: A shorter password could be part of an ordinary word.
_MIN_LENGTH = 8
#: An entry of `api-keys`: all but its holder's name and its prefix is confidential.
_ENTRY = re.compile(r"(?:[\w.-]+:)?(?:read|write|operate|,)+:(?:[^:]*:[^:]*:)?([^:]+)")
#: The prefix of a key that signs results.
_SIGNING_KEY = "whsec_"
#: Maximum number of values that are remembered, the last ones: rotations must not accumulate.
_MAX_READ = 32
#: The confidential parts of each value that was read.
_parts_by_value: dict[str, set[str]] = {}
_confidential: tuple[str, ...] = ()
_lock = threading.Lock()


def _remember(value: str) -> None:
    """Add the parts of this value that grant access to the confidential texts."""
    global _confidential  # noqa: PLW0603 - one per process
    with _lock:
        parts = {part for part in _parts(value) if len(part) >= _MIN_LENGTH}
        # Log lines may quote them in escaped forms.
        quoted = {json.dumps(part, ensure_ascii=False)[1:-1] for part in parts}
        _parts_by_value[value] = parts | quoted | {repr(part)[1:-1] for part in parts}
        if len(_parts_by_value) > _MAX_READ:
            del _parts_by_value[next(iter(_parts_by_value))]
        # The longest first, since one may be a part of another.
        _confidential = tuple(sorted(set().union(*_parts_by_value.values()), key=len, reverse=True))


def _parts(value: str) -> Iterator[str]:
    """The parts of a secret that grant access."""
    try:
        url = with_first_host(value)
        password = url.password
        is_url = bool(url.scheme and url.hostname)
    except ValueError:
        password = None
        is_url = False
    if _SIGNING_KEY in value:
        yield from _parts_of_endpoints(value)
        return
    if not is_url:
        for text in value.split():
            entry = _ENTRY.fullmatch(text)
            yield from [entry[1]] if entry else re.split(r"[,:/]+", text)
        return
    if password and password != url.username:
        yield from (password, unquote(password))
    for pair in url.query.split("&"):
        key, _, text = pair.partition("=")
        if key.endswith("password"):
            yield from (text, unquote(text))
    segments = [segment for segment in url.path.split("/") if segment]
    if len(segments) > 1:  # a webhook's code; a server's URL has at most a database name
        yield segments[-1]


def _parts_of_endpoints(value: str) -> Iterator[str]:
    """Of the endpoints of results: their keys, and their URLs as a whole."""
    for text in value.split():
        if _SIGNING_KEY in text:
            yield from text.split(",")
        elif "//" in text:
            yield text
