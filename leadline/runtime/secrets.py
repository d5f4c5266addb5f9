"""Secrets from files or environment, never from code.

A secret `database-url` is read from the file `/var/openfaas/secrets/database-url` (OpenFaaS; the
Knative manifests mount the same path) or `…/database-url/database-url` (what `faas-cli generate`
makes for Knative: a folder per secret), else from the environment variable `DATABASE_URL`.
Files are looked at on each use, so that a rotated secret counts without a restart.
"""

import os
import stat
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from leadline.runtime.errors import BadConfiguration

#: The address of a server, or how to learn it: a password that was rotated is part of it.
Address = str | Callable[[], str]

DEFAULT_FOLDER = "/var/openfaas/secrets"


def read(name: str) -> str | None:
    """The secret's text, stripped, or None where it is neither in a file nor in the environment."""
    path = f"{os.environ.get('LEADLINE_SECRETS_DIR', DEFAULT_FOLDER)}/{name}"
    for candidate in (path, f"{path}/{name}"):
        try:
            found = os.stat(candidate)  # noqa: PTH116 - on each request: a Path costs five times it
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            return _text(candidate, found.st_ino, found.st_size, found.st_mtime_ns)
    value = os.environ.get(name.replace("-", "_").upper(), "").strip()
    return value or None


def require(name: str) -> str:
    """Like `read`.

    Raises:
        BadConfiguration: there is no such secret; names it, never a value.
    """
    value = read(name)
    if value is None:
        variable = name.replace("-", "_").upper()
        raise BadConfiguration(f"set {variable} or mount the secret file {name}")
    return value


def address(name: str) -> Address:
    """The address in this secret, read anew for each connection; raises as `require` when read."""
    return partial(require, name)


def now(address: Address) -> str:
    """What this address is at the moment."""
    return address if isinstance(address, str) else address()


@lru_cache(maxsize=32)
def _text(path: str, _inode: int, _size: int, _changed_ns: int) -> str:
    """The file's text, read once for each state of the file: a rotated secret is another one."""
    return Path(path).read_text(encoding="utf-8").strip()
