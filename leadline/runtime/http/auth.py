"""Who may do what: `Authorization: Bearer <key>`.

The secret `api-keys` has the keys of clients and operators (see `api_keys`). What only our own
processes call opens with a key of the secret `internal-key`, and with no other: it has one key, or
several while it is rotated, and the first is the one that is sent.
"""

import hmac
from functools import lru_cache
from typing import Literal

import structlog

from leadline.errors import (
    BadConfiguration,
    ExpiredKey,
    Forbidden,
    MissingScope,
    Unauthorized,
)
from leadline.runtime import secrets
from leadline.runtime.http import api_keys, refusals
from leadline.runtime.http.api_keys import Key
from leadline.settings import settings

#: `internal`: events, replies and the relay's tick.
Scope = Literal["read", "write", "operate", "internal"]
API_KEYS, INTERNAL_KEY = "api-keys", "internal-key"
#: No key is longer, and nothing longer is hashed.
_LONGEST = 512

log = structlog.get_logger()


def check_configured(scopes: frozenset[str]) -> None:
    """Fail closed at start, for a function that asks for these scopes.

    Raises:
        BadConfiguration: there are no keys, and nobody said that none are wanted; or one of them
            makes no sense or is too weak. The text names its number, never the key.
    """
    if settings().auth == "off":
        return
    for name in sorted({_secret_of(scope) for scope in scopes}):
        keys = _known(name)
        if not keys:
            raise BadConfiguration(f"no keys: mount the secret {name}, or set LEADLINE_AUTH=off")
        for number, key in enumerate(keys, 1):
            if key.trouble:
                raise BadConfiguration(f"{name}, entry {number}: {key.trouble}")
            if not key.has_scopes:
                log.warning("key without scopes may read and write", secret=name, entry=number)


def caller(authorization: str | None, scope: Scope) -> str:
    """The name of the caller's key, which tells nothing of it; "" where no keys are wanted.

    Raises:
        Unauthorized: no bearer key was sent.
        Forbidden: the key is not one of ours.
        ExpiredKey, MissingScope: the key is ours, but does not open this (any more).
    """
    if settings().auth == "off":
        return ""
    scheme, _, sent = (authorization or "").partition(" ")
    sent = sent.strip()
    if scheme.lower() != "bearer" or not sent:
        refusals.count("no_key")
        raise Unauthorized
    found = _found(sent, _known(_secret_of(scope)))
    if not found:
        refusals.count("unknown_key", prefix=api_keys.prefix_of(sent))
        raise Forbidden
    valid = [key for key in found if not key.is_expired]
    if not valid:
        refusals.count("expired_key", prefix=found[0].prefix, caller=found[0].name)
        raise ExpiredKey
    name = next((key.name for key in valid if scope in key.scopes), None)
    if name is None:
        refusals.count("missing_scope", prefix=valid[0].prefix, caller=valid[0].name)
        raise MissingScope(scope)
    return name


def own_key() -> str | None:
    """The key that our own processes send to the functions, None where there is none.

    It is sent whether or not this process itself would ask for one: each function has a setting
    of its own.
    """
    return next(iter(api_keys.entries(secrets.read("internal-key") or "")), None)


def keys() -> tuple[Key, ...]:
    """The entries of `api-keys`, in their order."""
    return _known(API_KEYS)


def _secret_of(scope: str) -> str:
    return INTERNAL_KEY if scope == "internal" else API_KEYS


def _found(sent: str, known: tuple[Key, ...]) -> list[Key]:
    if len(sent) > _LONGEST:
        return []
    digest = api_keys.digest_of(sent.encode("utf-8", "surrogateescape"))
    # Every key is compared, so that the time taken does not tell which one came near.
    return [key for key in known if hmac.compare_digest(digest, key.digest)]


def _known(name: str) -> tuple[Key, ...]:
    if name == INTERNAL_KEY:
        return _internal(secrets.read("internal-key") or "")
    return _parsed(secrets.read("api-keys") or "")


@lru_cache(maxsize=1)
def _parsed(text: str) -> tuple[Key, ...]:
    return _told(API_KEYS, tuple(map(api_keys.parse, api_keys.entries(text))))


@lru_cache(maxsize=1)
def _internal(text: str) -> tuple[Key, ...]:
    return _told(INTERNAL_KEY, tuple(map(api_keys.internal, api_keys.entries(text))))


def _told(name: str, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """These keys, after a rotation with a warning for each that opens nothing."""
    for number, key in enumerate(keys, 1):
        if key.trouble:
            log.warning("key opens nothing", secret=name, entry=number, reason=key.trouble)
    return keys
