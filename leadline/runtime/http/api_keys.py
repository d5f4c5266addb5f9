"""API keys in the format of the secret `api-keys`: one entry per line, `#` begins a comment.

    NAME:SCOPES:PREFIX:EXPIRES:SHA256    as `leadline keys create` makes it, without the key
    NAME:SCOPES:KEY or SCOPES:KEY        the key itself, for a small installation
    KEY                                  the same with the scopes `read` and `write`

A bearer token contains no colon (RFC 6750, 2.1), so the formats are unambiguous. EXPIRES is the
last day on which the key is valid (YYYY-MM-DD, UTC), or `never`.
"""

import hashlib
import math
import re
import secrets
import string
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

#: `read` users and figures; `write` users; `operate` the system (resync, pause, dead letters);
#: `erase` users permanently.
Scope = Literal["read", "write", "operate", "erase"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
#: The scopes of an entry that names none.
_DEFAULT_SCOPES = frozenset({"read", "write"})
_INTERNAL = frozenset({"internal"})

NEVER = "never"
#: Lets scanners recognise leaked keys.
_KEY_PREFIX = "ll_"
_PREFIX_LENGTH = 8
#: OWASP ASVS 5.0, 11.5.1: 128 bits of entropy.
_MIN_BITS = 128
#: Distinct characters; a random key of 32 hexadecimal digits has fewer once in ten million.
_MIN_DISTINCT = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEX = (set("0123456789abcdef"), set("0123456789ABCDEF"))
_CHARACTER_CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase, "-_")


@dataclass(frozen=True, slots=True)
class Key:
    """An entry: the holder and the scopes of a key, without the key."""

    #: The holder in logs, in the audit trail, and as the namespace of idempotency keys; the
    #: beginning of the hash if the entry has no name.
    name: str
    scopes: frozenset[str]
    #: The beginning of the key; "" if the key is too short to show it.
    prefix: str
    digest: bytes
    #: Unix seconds.
    expires_at: float = math.inf
    #: The entry contains the key itself.
    is_plain: bool = False
    #: The entry names its scopes.
    has_scopes: bool = True
    #: Why the entry is invalid; "" if it is valid.
    defect: str = ""

    @property
    def is_expired(self) -> bool:
        """Whether its last day has passed."""
        return time.time() >= self.expires_at

    @property
    def expires(self) -> str:
        """Its last day, or `never`."""
        if math.isinf(self.expires_at):
            return NEVER
        return f"{datetime.fromtimestamp(self.expires_at, UTC) - timedelta(days=1):%Y-%m-%d}"


def entries(text: str) -> list[str]:
    """The entries of a secret, separated by white space."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [entry for line in lines for entry in line.split()]


def parse(entry: str) -> Key:
    """Parse an entry; an invalid one has a `defect` and no scopes."""
    match entry.split(":"):
        case [key]:
            return replace(_with_scopes(_plain(key), ",".join(_DEFAULT_SCOPES)), has_scopes=False)
        case [scopes, key]:
            return _with_scopes(_plain(key), scopes)
        case [name, scopes, key]:
            # An empty name is replaced by one that is invalid, too: else it would get a default.
            return _with_scopes(_plain(key, name or ":"), scopes)
        case [name, scopes, prefix, expires, digest]:
            return _with_scopes(_hashed(name, prefix, expires, digest), scopes)
    return _invalid("it must have 1, 2, 3 or 5 parts, separated by `:`")


def parse_internal(key: str) -> Key:
    """Parse an entry of `internal-key`, the key of our own processes."""
    parsed = _plain(key, "internal")
    return parsed if parsed.defect else replace(parsed, scopes=_INTERNAL)


def create(name: str, scopes: frozenset[str], days: int | None) -> tuple[str, str]:
    """A new key and its entry; it expires after `days` days, or never.

    Raises:
        ValueError: the name or a scope is invalid.
    """
    key = _KEY_PREFIX + secrets.token_urlsafe(32)
    expires = NEVER if days is None else f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    scope_list = ",".join(sorted(scopes))
    digest = digest_of(key.encode()).hex()
    entry = f"{name}:{scope_list}:{key[:_PREFIX_LENGTH]}:{expires}:{digest}"
    if defect := parse(entry).defect:
        raise ValueError(defect)
    return key, entry


def digest_of(key: bytes) -> bytes:
    """The stored form of a key; with 128 bits of entropy, a key needs no slow hash."""
    return hashlib.sha256(key).digest()


def prefix_of(key: str) -> str:
    """The beginning of a key, which identifies its holder; "" if the text is too short for a key.

    A character has at most 6 bits. What the prefix leaves out still has 100 bits or more.
    """
    prefix = key[: min(_PREFIX_LENGTH, len(key) // 4)] if len(key) >= _MIN_BITS // 6 else ""
    return prefix if prefix.isascii() and prefix.isprintable() else ""


def weakness(key: str) -> str:
    """Why this key is too weak; "" if it is strong, assuming random characters of its alphabet."""
    if _bits(key) >= _MIN_BITS:
        return ""
    return f"the key has fewer than {_MIN_BITS} bits; create one with `leadline keys create`"


def _bits(key: str) -> float:
    """The entropy of a key, if its characters are random ones of its alphabet."""
    used = set(key)
    if len(used) < _MIN_DISTINCT:
        return 0
    if any(used <= digits for digits in _HEX):
        return len(key) * 4
    alphabet = sum(len(chars) for chars in _CHARACTER_CLASSES if used & set(chars))
    return len(key) * math.log2(alphabet + len(used - set("".join(_CHARACTER_CLASSES))))


def _plain(key: str, name: str = "") -> Key:
    """A key that its entry contains; "" as the name: the beginning of its hash."""
    digest = digest_of(key.encode())
    name = name or digest.hex()[:16]
    return Key(name, frozenset(), prefix_of(key), digest, is_plain=True, defect=weakness(key))


def _hashed(name: str, prefix: str, expires: str, digest: str) -> Key:
    if not _DIGEST.fullmatch(digest):
        return _invalid("its last part must be a SHA-256 of 64 hexadecimal digits")
    try:
        expires_at = math.inf if expires == NEVER else _end_of(expires)
    except ValueError:
        return _invalid(f"its expiry must be a day (YYYY-MM-DD) or `{NEVER}`")
    return Key(name, frozenset(), prefix, bytes.fromhex(digest), expires_at)


def _end_of(day: str) -> float:
    """The end of this day (UTC) in unix seconds."""
    if not _DAY.fullmatch(day):  # `fromisoformat` accepts other formats, too
        raise ValueError(day)
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()


def _with_scopes(key: Key, scopes: str) -> Key:
    """The key with these scopes, or with a `defect` and none."""
    scope_set = frozenset(scopes.split(","))
    defect = key.defect
    if not scope_set <= SCOPES:
        defect = f"the scopes before the key must be of {', '.join(get_args(Scope))}"
    elif not defect and not _NAME.fullmatch(key.name):
        defect = "a name must have 1 to 64 letters, digits, dots, hyphens and underscores"
    return replace(key, defect=defect, scopes=frozenset() if defect else scope_set)


def _invalid(defect: str) -> Key:
    return Key(name="", scopes=frozenset(), prefix="", digest=b"", defect=defect)
