"""HTTP session with one portal: every exchange has a deadline, and fails in one of two ways.

Either it is proven that nothing was sent: the name was not resolved, the connection was refused, or
the TLS handshake failed. Or the first byte was sent: from then on, any error leaves the outcome
unknown.
"""

import logging
from dataclasses import dataclass

import requests
from urllib3.exceptions import HTTPError

from leadline.bitrix24 import timed_connection
from leadline.bitrix24.timed_connection import (
    MAX_RESPONSE_BYTES,
    Adapter,
    Exchange,
    ResponseTooLong,
)
from leadline.bitrix24.webhook_url import WebhookUrl
from leadline.errors import OutcomeUnknown, Unavailable

_CHUNK_BYTES = 64 * 1024
_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # responses are short, and none can be a decompression bomb
    "User-Agent": "leadline",
}


# urllib3 logs paths, even at WARNING (for a malformed header line); the path is a credential.
logging.getLogger("urllib3").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response, read to its end."""

    status: int
    #: The target of a redirect, else "".
    location: str
    body: bytes


class Session:
    """Posts to one portal over persistent connections."""

    def __init__(self, webhook: WebhookUrl) -> None:
        self._webhook = webhook
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.mount(f"{webhook.scheme}://", Adapter())
        self._tls = timed_connection.tls_context() if webhook.scheme == "https" else None

    def post(
        self,
        method: str,
        body: bytes,
        *,
        connect_s: float,
        response_s: float,
        send_until: float | None = None,
    ) -> HttpResponse:
        """Post JSON to a method: connect within `connect_s`, do all the rest within `response_s`.

        Raises:
            Unavailable: nothing was sent.
            LeaseTooShort: nothing was sent, since `send_until` had passed once connected.
            OutcomeUnknown: the request or a part of it was sent.
        """
        exchange = Exchange(connect_s, response_s, send_until, self._tls)
        token = timed_connection.current_exchange.set(exchange)
        # `from None`: a library's error may quote the path, which is a credential.
        try:
            return self._send(method, body, exchange)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            text = f"no answer from Bitrix24: {type(error).__name__}"
            if exchange.was_sent:
                raise OutcomeUnknown(text, may_still_run=True) from None
            raise Unavailable(text) from None
        finally:
            timed_connection.current_exchange.reset(token)

    def _send(self, method: str, body: bytes, exchange: Exchange) -> HttpResponse:
        path = self._webhook.path.get_secret_value()
        with self._session.post(
            f"{self._webhook.site}{path}{method}.json",
            data=body,
            headers=_HEADERS,
            allow_redirects=False,  # a followed redirect becomes an empty GET
            stream=True,
        ) as response:
            content = b""
            for chunk in response.iter_content(_CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_RESPONSE_BYTES:
                    raise ResponseTooLong
            exchange.is_complete = True
            return HttpResponse(response.status_code, response.headers.get("Location", ""), content)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
