"""Who may do what: `Authorization: Bearer <key>`, one of the keys in the secret `api-keys`.

An entry there is `key`, which opens everything, or `scope,scope:key`, which opens what it names.
A bearer token can hold no colon (RFC 6750, 2.1), so that the two are never mixed up.
"""

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from leadline.runtime import secrets
from leadline.runtime.errors import BadConfiguration, Forbidden, MissingScope, Unauthorized
from leadline.runtime.settings import settings

#: `read` users and figures, `write` users, `operate` the system: resend, pause, dead letters, and
#: the functions that only our own processes call.
Scope = Literal["read", "write", "operate"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))


@dataclass(frozen=True, slots=True)
class Key:
    """A key and what it opens; none for an entry whose scopes make no sense."""

    secret: bytes
    scopes: frozenset[str]
    #: Its holder's name, which tells nothing of the key.
    caller: str


def check_configured() -> None:
    """Fail closed at start.

    Raises:
        BadConfiguration: there are no keys, and nobody said that none are wanted; or an entry
            names a scope that does not exist.
    """
    if settings().auth == "off":
        return
    keys = _keys()
    if not keys:
        raise BadConfiguration("no API keys: mount the secret api-keys, or set LEADLINE_AUTH=off")
    for number, key in enumerate(keys, 1):
        if not key.scopes:
            known = ", ".join(get_args(Scope))
            raise BadConfiguration(
                f"api-keys, entry {number}: the scopes before ':' are of {known}"
            )


def caller(authorization: str | None, scope: Scope) -> str:
    """A name for the caller that tells nothing of its key; "" where no keys are wanted.

    Raises:
        Unauthorized: no bearer key was sent.
        Forbidden: the key is not one of ours.
        MissingScope: the key is ours, but does not open this.
    """
    if settings().auth == "off":
        return ""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized
    sent = key.strip().encode("utf-8", "surrogateescape")
    # Every key is compared, so that the time taken does not tell which one came near.
    found = [known for known in _keys() if hmac.compare_digest(sent, known.secret)]
    if not found:
        raise Forbidden
    if not any(scope in known.scopes for known in found):
        raise MissingScope(scope)
    return found[0].caller


def own_key() -> str | None:
    """The key that our own processes send to the functions: the first one with `operate`.

    It is sent whether or not this process itself would ask for one: each function has a setting
    of its own. None where there is no such key.
    """
    return next((key.secret.decode() for key in _keys() if "operate" in key.scopes), None)


def _keys() -> tuple[Key, ...]:
    return _parsed(secrets.read("api-keys") or "")


@lru_cache(maxsize=1)
def _parsed(text: str) -> tuple[Key, ...]:
    return tuple(_key(entry) for entry in text.split())


def _key(entry: str) -> Key:
    head, colon, key = entry.rpartition(":")
    if not colon:
        return _named(entry, SCOPES)
    scopes = frozenset(head.split(","))
    return _named(key, scopes if key and scopes <= SCOPES else frozenset())


def _named(key: str, scopes: frozenset[str]) -> Key:
    secret = key.encode()
    return Key(secret, scopes, hashlib.sha256(secret).hexdigest()[:16])
