"""The endpoints that receive results, from the secret `result-endpoints`.

One entry per line, `#` begins a comment:

    NAME URL SECRET[,SECRET…] [KIND[,KIND…]]

SECRET is `whsec_` and 24 to 64 bytes in base64, as in Standard Webhooks; if there are several, as
during a rotation, each signs every request. Without kinds an endpoint receives `user.synced` and
`user.failed`.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import urlsplit

from leadline.errors import BadConfiguration
from leadline.runtime import secrets
from leadline.runtime.cleartext import is_loopback
from leadline.runtime.telemetry import metrics
from leadline.settings import settings

#: `user.changed`: a write was accepted; the others: it was settled.
Kind = Literal["user.synced", "user.failed", "user.changed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: frozenset[str] = frozenset({"user.synced", "user.failed"})
#: The secret's name. Few installations have it: deployments mount it only if an operator adds it.
SECRET = "result-endpoints"  # noqa: S105 - a name
#: The topic exchange, and its name among the endpoints; no other endpoint can have it.
EXCHANGE = "leadline.users"
MAX_ENDPOINTS = 20

# Defined here because a relay without endpoints exports it too.
DELIVERED = metrics.Counter(
    "leadline_results_delivered_total",
    "Results by the outcome of an attempt to deliver them",
    "outcome",
    label_values=("delivered", "rejected", "unreachable", "given_up"),
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_SECRET_PREFIX = "whsec_"  # noqa: S105 - public
_KEY_BYTES = range(24, 65)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of results."""

    name: str
    kinds: frozenset[str]
    #: None: the exchange.
    url: str | None = None
    #: The signing keys; never logged.
    keys: tuple[bytes, ...] = ()


def is_configured() -> bool:
    """Whether any endpoint receives results; cheap enough for every tick."""
    return settings().results_exchange == "on" or secrets.get(SECRET) is not None


def endpoints() -> tuple[Endpoint, ...]:
    """All endpoints.

    Raises:
        BadConfiguration: an entry is invalid; the text has its number, not its URL or secret.
    """
    receivers = _parse(secrets.get(SECRET) or "")
    if settings().results_exchange == "on":
        receivers = (*receivers, Endpoint(EXCHANGE, frozenset(KINDS)))
    return receivers


@lru_cache(maxsize=1)
def _parse(text: str) -> tuple[Endpoint, ...]:
    lines = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = tuple(_entry(number, line) for number, line in enumerate(filter(None, lines), 1))
    if len({endpoint.name for endpoint in entries}) < len(entries):
        raise BadConfiguration(f"{SECRET}: two entries have the same name")
    if len(entries) > MAX_ENDPOINTS:
        raise BadConfiguration(f"{SECRET}: there are more than {MAX_ENDPOINTS} entries")
    return entries


def _entry(number: int, parts: list[str]) -> Endpoint:
    def defect(text: str) -> BadConfiguration:
        return BadConfiguration(f"{SECRET}, entry {number}: {text}")

    if len(parts) not in {3, 4}:
        raise defect("it must be NAME URL SECRET [KINDS]")
    name, url, secret_texts = parts[:3]
    kinds = frozenset(parts[3].split(",")) if len(parts) > 3 else DEFAULT_KINDS
    if not _NAME.fullmatch(name):
        raise defect("a name has 1 to 32 letters, digits, hyphens and underscores")
    if not _is_safe(url):
        raise defect("its URL must be https://, or http:// on this machine, without a password")
    if not kinds <= set(KINDS):
        raise defect(f"the kinds must be among {', '.join(KINDS)}")
    try:
        keys = tuple(map(_key, secret_texts.split(",")))
    except ValueError:
        raise defect("a secret must be whsec_ and 24 to 64 bytes in base64") from None
    return Endpoint(name, kinds, url, keys)


def _is_safe(url: str) -> bool:
    """Whether requests to this URL are encrypted or stay on this machine; it has no password."""
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
        is_local = parts.scheme == "http" and is_loopback(parts)
    except ValueError:
        return False
    return is_complete and "@" not in parts.netloc and (parts.scheme == "https" or is_local)


def _key(text: str) -> bytes:
    if not text.startswith(_SECRET_PREFIX):
        raise ValueError
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError from None
    if len(key) not in _KEY_BYTES:
        raise ValueError
    return key
