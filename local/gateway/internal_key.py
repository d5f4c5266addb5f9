"""Internal functions need the internal key.

Connector and schedule call them directly. Through the edge they need the internal key, even if
LEADLINE_AUTH=off opens the other functions to everyone.
"""

import hmac

from leadline.errors import Forbidden, Unauthorized
from leadline.runtime.http import auth


def require_internal_key(authorization: str | None) -> None:
    """Require the internal key.

    Raises:
        Unauthorized: no bearer key was sent.
        Forbidden: it is another key, or no internal key is configured.
    """
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized
    internal_key = auth.own_key()
    sent_key = key.strip().encode("utf-8", "surrogateescape")
    if internal_key is None or not hmac.compare_digest(sent_key, internal_key.encode()):
        raise Forbidden
