"""Authentication by `Authorization: Bearer <key>`, authorization by the key's scopes.

The secret `api-keys` has the keys of clients and operators (see `api_keys`). Endpoints of our own
processes accept only a key of the secret `internal-key`: it has one key, or several during a
rotation, of which the first is sent.
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

#: `internal`: for events, replies and the relay's tick.
Scope = Literal["read", "write", "operate", "erase", "internal"]
API_KEYS, INTERNAL_KEY = "api-keys", "internal-key"
#: Maximum length of a key; nothing longer is hashed.
_MAX_LENGTH = 512

log = structlog.get_logger()


def check_configured(scopes: frozenset[str]) -> None:
    """Fail closed at the start of a function that requires these scopes.

    Raises:
        BadConfiguration: there are no keys although authentication is on, or one of them is invalid
            or too weak. The text has the entry's number, not the key.
    """
    if settings().auth == "off":
        return
    for name in sorted({_secret_of(scope) for scope in scopes}):
        keys = _load(name)
        if not keys:
            raise BadConfiguration(f"no keys: mount the secret {name}, or set LEADLINE_AUTH=off")
        for number, key in enumerate(keys, 1):
            if key.defect:
                raise BadConfiguration(f"{name}, entry {number}: {key.defect}")
            if not key.has_scopes:
                log.warning("key without scopes has read and write", secret=name, entry=number)


def authenticate(authorization: str | None, scope: Scope) -> str:
    """The name of the caller's key, which must have this scope; "" if authentication is off.

    Raises:
        Unauthorized: no bearer key was sent.
        Forbidden: the key is unknown.
        ExpiredKey, MissingScope: the key is known, but has expired or lacks the scope.
    """
    if settings().auth == "off":
        return ""
    scheme, _, key = (authorization or "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        refusals.record("no_key")
        raise Unauthorized
    entries = _matching(key, _load(_secret_of(scope)))
    if not entries:
        refusals.record("unknown_key", prefix=api_keys.prefix_of(key))
        raise Forbidden
    valid = [entry for entry in entries if not entry.is_expired]
    if not valid:
        refusals.record("expired_key", prefix=entries[0].prefix, caller=entries[0].name)
        raise ExpiredKey
    name = next((entry.name for entry in valid if scope in entry.scopes), None)
    if name is None:
        refusals.record("missing_scope", prefix=valid[0].prefix, caller=valid[0].name)
        raise MissingScope(scope)
    return name


def own_key() -> str | None:
    """The key that our own processes send to functions; None if there is none.

    It is sent even if authentication is off in this process: each function has its own setting.
    """
    return next(iter(api_keys.entries(secrets.get("internal-key") or "")), None)


def keys() -> tuple[Key, ...]:
    """The entries of `api-keys`, in order."""
    return _load(API_KEYS)


def _secret_of(scope: str) -> str:
    return INTERNAL_KEY if scope == "internal" else API_KEYS


def _matching(key_text: str, keys: tuple[Key, ...]) -> list[Key]:
    if len(key_text) > _MAX_LENGTH:
        return []
    digest = api_keys.digest_of(key_text.encode("utf-8", "surrogateescape"))
    # All keys are compared, so that the time reveals nothing about them.
    return [key for key in keys if hmac.compare_digest(digest, key.digest)]


def _load(name: str) -> tuple[Key, ...]:
    if name == INTERNAL_KEY:
        return _parse_internal_keys(secrets.get("internal-key") or "")
    return _parse_api_keys(secrets.get("api-keys") or "")


@lru_cache(maxsize=1)
def _parse_api_keys(text: str) -> tuple[Key, ...]:
    return _with_warnings(API_KEYS, tuple(map(api_keys.parse, api_keys.entries(text))))


@lru_cache(maxsize=1)
def _parse_internal_keys(text: str) -> tuple[Key, ...]:
    return _with_warnings(INTERNAL_KEY, tuple(map(api_keys.parse_internal, api_keys.entries(text))))


def _with_warnings(name: str, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Log a warning for each invalid key, such as after a rotation; returns the keys."""
    for number, key in enumerate(keys, 1):
        if key.defect:
            log.warning("invalid key", secret=name, entry=number, reason=key.defect)
    return keys
