"""Functions that only our own processes call are served by the edge to their key alone.

Connector and schedule call them directly. Who comes by the edge is asked for the key even while
LEADLINE_AUTH=off lets everybody use the other functions.
"""

import hmac

from leadline.errors import Forbidden, Unauthorized
from leadline.runtime.http import auth


def demand_own_key(authorization: str | None) -> None:
    """Let only callers pass who send the key of our own processes.

    Raises:
        Unauthorized: no bearer key was sent.
        Forbidden: it is another key, or there is none to compare with.
    """
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized
    own = auth.own_key()
    sent = key.strip().encode("utf-8", "surrogateescape")
    if own is None or not hmac.compare_digest(sent, own.encode()):
        raise Forbidden
