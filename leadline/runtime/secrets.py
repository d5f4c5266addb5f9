"""Secrets from files or environment, never from code.

A secret `database-url` is read from the file `/var/openfaas/secrets/database-url` (OpenFaaS; the
Knative manifests mount the same path) or `…/database-url/database-url` (what `faas-cli generate`
makes for Knative: a folder per secret), else from the environment variable `DATABASE_URL`.
`DATABASE_URL_FILE` names another file, in that folder or elsewhere: so parts that share a folder
have a login each (`database-url-reader`). Then nothing else counts.
Files are looked at on each use, so that a rotated secret counts without a restart.
"""

import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from leadline.errors import BadConfiguration

#: The address of a server, or how to learn it: a password that was rotated is part of it.
Address = str | Callable[[], str]

DEFAULT_FOLDER = "/var/openfaas/secrets"


def read(name: str) -> str | None:
    """The secret's text, stripped, or None where it is neither in a file nor in the environment."""
    folder = os.environ.get("LEADLINE_SECRETS_DIR", DEFAULT_FOLDER)
    variable = _variable(name)
    other = os.environ.get(f"{variable}_FILE")
    path = os.path.join(folder, other or name)  # noqa: PTH118 - see below
    for candidate in (path, f"{path}/{os.path.basename(path)}"):  # noqa: PTH119 - see below
        try:
            found = os.stat(candidate)  # noqa: PTH116 - on each request: a Path costs five times it
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            return _text(candidate, found.st_ino, found.st_size, found.st_mtime_ns)
    value = "" if other else os.environ.get(variable, "").strip()
    if value and value not in _read:
        _remember(value)
    return value or None


def require(name: str) -> str:
    """Like `read`.

    Raises:
        BadConfiguration: there is no such secret; names it, never a value.
    """
    value = read(name)
    if value is None:
        variable = _variable(name)
        raise BadConfiguration(f"set {variable} or mount the secret file {name}")
    return value


def address(name: str) -> Address:
    """The address in this secret, read anew for each connection; raises as `require` when read."""
    return partial(require, name)


def now(address: Address) -> str:
    """What this address is at the moment."""
    return address if isinstance(address, str) else address()


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()


def confidential() -> tuple[str, ...]:
    """Texts that no log line may hold: passwords, keys and codes that this process has read."""
    return _confidential


@lru_cache(maxsize=32)
def _text(path: str, _inode: int, _size: int, _changed_ns: int) -> str:
    """The file's text, read once for each state of the file: a rotated secret is another one."""
    value = Path(path).read_text(encoding="utf-8").strip()
    _remember(value)
    return value


#: A shorter password would be found in ordinary words.
_SHORTEST = 8
#: Of an entry of `api-keys` the name of its holder and how it begins may be read.
_ENTRY = re.compile(r"(?:[\w.-]+:)?(?:read|write|operate|,)+:(?:[^:]*:[^:]*:)?([^:]+)")
#: Values that were read, the oldest ones forgotten after some rotations.
_READ_MAX = 32
_read: dict[str, set[str]] = {}
_confidential: tuple[str, ...] = ()
_lock = threading.Lock()


def _remember(value: str) -> None:
    global _confidential  # noqa: PLW0603 - what this process has read
    with _lock:
        parts = {one for one in _parts(value) if len(one) >= _SHORTEST}
        # Also as a rendered line quotes it.
        quoted = {json.dumps(one, ensure_ascii=False)[1:-1] for one in parts}
        _read[value] = parts | quoted | {repr(one)[1:-1] for one in parts}
        if len(_read) > _READ_MAX:
            del _read[next(iter(_read))]
        # The longest first: one may be a part of another.
        _confidential = tuple(sorted(set().union(*_read.values()), key=len, reverse=True))


def _parts(value: str) -> Iterator[str]:
    """What of this secret gives access."""
    try:
        url = urlsplit(value)
        password, is_url = url.password, bool(url.scheme and url.hostname)
    except ValueError:
        password, is_url = None, False
    if not is_url:
        for text in value.split():
            entry = _ENTRY.fullmatch(text)
            yield from [entry[1]] if entry else re.split(r"[,:/]+", text)
        return
    if password and password != url.username:
        yield from (password, unquote(password))
    segments = [one for one in url.path.split("/") if one]
    if len(segments) > 1:  # a webhook's; a server's address has at most a database's name
        yield segments[-1]
