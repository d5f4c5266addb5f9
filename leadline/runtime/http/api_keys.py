"""API keys as the secret `api-keys` holds them, one entry a line (`#`: a comment).

    NAME:SCOPES:PREFIX:EXPIRES:SHA256    what `leadline keys create` makes: who reads it can't call
    NAME:SCOPES:KEY or SCOPES:KEY        the key itself, for a small installation
    KEY                                  the same with the scopes `read` and `write`

A bearer token can hold no colon (RFC 6750, 2.1), so that the forms are never mixed up. EXPIRES is
the last day on which the key opens anything (YYYY-MM-DD, UTC), or `never`.
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

#: `read` users and figures, `write` users, `operate` the system: resend, pause, dead letters.
Scope = Literal["read", "write", "operate"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
#: What clients do: an entry that names no scopes opens no more.
_UNNAMED = frozenset({"read", "write"})
_INTERNAL = frozenset({"internal"})

NEVER = "never"
#: Recognised by scanners that look for leaked secrets.
_MARK = "ll_"
_PREFIX_LENGTH = 8
#: OWASP ASVS 5.0, 11.5.1: what nobody may guess has 128 bits of entropy.
_BITS_MIN = 128
#: A random key of 32 hexadecimal digits has fewer than once in ten million.
_DISTINCT_MIN = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEX = (set("0123456789abcdef"), set("0123456789ABCDEF"))
_CLASSES = (string.digits, string.ascii_lowercase, string.ascii_uppercase, "-_")


@dataclass(frozen=True, slots=True)
class Key:
    """An entry: whose key it is and what it opens, without the key."""

    #: Its holder in logs, in the audit trail, and as the namespace of idempotency keys; where the
    #: entry names none, the beginning of the hash.
    name: str
    scopes: frozenset[str]
    #: How the key begins; "" where all that is known is the key itself.
    prefix: str
    digest: bytes
    #: Unix seconds.
    expires_at: float = math.inf
    #: The entry holds the key itself.
    is_plain: bool = False
    has_scopes: bool = True
    #: Why it opens nothing; "" for an entry in order.
    trouble: str = ""

    @property
    def is_expired(self) -> bool:
        """Whether its last day is over."""
        return time.time() >= self.expires_at

    @property
    def expires(self) -> str:
        """Its last day, or `never`."""
        if math.isinf(self.expires_at):
            return NEVER
        return f"{datetime.fromtimestamp(self.expires_at, UTC) - timedelta(days=1):%Y-%m-%d}"


def entries(text: str) -> list[str]:
    """The entries of a secret, which spaces or line ends separate."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [entry for line in lines for entry in line.split()]


def parse(entry: str) -> Key:
    """An entry as a key; with `trouble`, and without scopes, where it makes no sense."""
    match entry.split(":"):
        case [key]:
            return replace(_opening(_plain(key), ",".join(_UNNAMED)), has_scopes=False)
        case [scopes, key]:
            return _opening(_plain(key), scopes)
        case [name, scopes, key]:
            return _opening(_plain(key, name or ":"), scopes)
        case [name, scopes, prefix, expires, digest]:
            return _opening(_hashed(name, prefix, expires, digest), scopes)
    return _refused("it has 1, 2, 3 or 5 parts, with `:` between them")


def internal(key: str) -> Key:
    """An entry of `internal-key`, a key of our own processes."""
    known = _plain(key, "internal")
    return known if known.trouble else replace(known, scopes=_INTERNAL)


def make(name: str, scopes: frozenset[str], days: int | None) -> tuple[str, str]:
    """A new key and its entry, which opens what `scopes` name for so many days more, or for ever.

    Raises:
        ValueError: a name or a scope that can't be.
    """
    key = _MARK + secrets.token_urlsafe(32)
    expires = NEVER if days is None else f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    opens, digest = ",".join(sorted(scopes)), digest_of(key.encode()).hex()
    entry = f"{name}:{opens}:{key[:_PREFIX_LENGTH]}:{expires}:{digest}"
    if trouble := parse(entry).trouble:
        raise ValueError(trouble)
    return key, entry


def digest_of(key: bytes) -> bytes:
    """What is kept of a key. It has 128 bits, so that no slow hash is needed: none is guessed."""
    return hashlib.sha256(key).digest()


def prefix_of(key: str) -> str:
    """How a key begins, so that its holder can be found; "" for what is too short to be a key.

    What remains has 100 bits and more, which nobody guesses.
    """
    begin = key[: min(_PREFIX_LENGTH, len(key) // 4)] if len(key) >= _BITS_MIN // 6 else ""
    return begin if begin.isascii() and begin.isprintable() else ""


def weakness(key: str) -> str:
    """Why this key is too weak, "" where it may be strong: as if drawn from what it is made of."""
    if _bits(key) >= _BITS_MIN:
        return ""
    return f"the key has fewer than {_BITS_MIN} bits; `leadline keys create` makes one"


def _bits(key: str) -> float:
    used = set(key)
    if len(used) < _DISTINCT_MIN:
        return 0
    if any(used <= digits for digits in _HEX):
        return len(key) * 4
    alphabet = sum(len(one) for one in _CLASSES if used & set(one))
    return len(key) * math.log2(alphabet + len(used - set("".join(_CLASSES))))


def _plain(key: str, name: str = "") -> Key:
    digest = digest_of(key.encode())
    name = name or digest.hex()[:16]
    return Key(name, frozenset(), prefix_of(key), digest, is_plain=True, trouble=weakness(key))


def _hashed(name: str, prefix: str, expires: str, digest: str) -> Key:
    if not _DIGEST.fullmatch(digest):
        return _refused("its last part is no SHA-256 in 64 hexadecimal digits")
    try:
        expires_at = math.inf if expires == NEVER else _end_of(expires)
    except ValueError:
        return _refused(f"it expires on a day (YYYY-MM-DD) or `{NEVER}`")
    return Key(name, frozenset(), prefix, bytes.fromhex(digest), expires_at)


def _end_of(day: str) -> float:
    if not _DAY.fullmatch(day):  # `fromisoformat` takes other forms too
        raise ValueError(day)
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()


def _opening(key: Key, scopes: str) -> Key:
    """This key with its scopes, unless something is wrong with it."""
    named = frozenset(scopes.split(","))
    trouble = key.trouble
    if not named <= SCOPES:
        trouble = f"the scopes before the key are of {', '.join(get_args(Scope))}"
    elif not trouble and not _NAME.fullmatch(key.name):
        trouble = "a name has 1 to 64 letters, digits, dots, hyphens and underscores"
    return replace(key, trouble=trouble, scopes=frozenset() if trouble else named)


def _refused(trouble: str) -> Key:
    return Key("", frozenset(), "", b"", trouble=trouble)
