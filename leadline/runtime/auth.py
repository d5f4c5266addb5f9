"""Who may call: `Authorization: Bearer <key>`, one of the keys in the secret `api-keys`."""

import hashlib
import hmac

from leadline.runtime import secrets
from leadline.runtime.errors import BadConfiguration, Forbidden, Unauthorized
from leadline.runtime.settings import settings


def check_configured() -> None:
    """Fail closed at start.

    Raises:
        BadConfiguration: there are no keys, and nobody said that none are wanted.
    """
    if settings().auth == "on" and not _keys():
        raise BadConfiguration("no API keys: mount the secret api-keys, or set LEADLINE_AUTH=off")


def caller(authorization: str | None) -> str:
    """A name for the caller that tells nothing of its key; "" where no keys are wanted.

    Raises:
        Unauthorized: no bearer key was sent.
        Forbidden: the key is not one of ours.
    """
    if settings().auth == "off":
        return ""
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized
    sent = key.strip().encode("utf-8", "surrogateescape")
    # Every key is compared, so that the time taken does not tell which one came near.
    if not any([hmac.compare_digest(sent, known) for known in _keys()]):  # noqa: C419
        raise Forbidden
    return hashlib.sha256(sent).hexdigest()[:16]


def own_key() -> str | None:
    """The key that our own processes send to the functions, None where there is none.

    It is sent whether or not this process itself would ask for one: each function has a setting
    of its own.
    """
    keys = _keys()
    return keys[0].decode() if keys else None


def _keys() -> list[bytes]:
    return [line.strip().encode() for line in (secrets.read("api-keys") or "").split() if line]
