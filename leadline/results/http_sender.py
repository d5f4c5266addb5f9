"""Posts results to an endpoint's URL, signed as Standard Webhooks specifies.

No redirect is followed, an answer's body is read up to `ANSWER_MAX`, and each call ends within
`CONNECT_S` and `ANSWER_S`, also if the receiver trickles its answer.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import requests
from urllib3.exceptions import HTTPError

from leadline.bitrix24 import timed_connection
from leadline.bitrix24.timed_connection import Adapter, Exchange
from leadline.results.endpoints import Endpoint
from leadline.results.message import Outcome, Result, headers

CONNECT_S, ANSWER_S = 3.0, 5.0
#: Bytes of an answer that are read, so that its connection can be used again.
ANSWER_MAX = 16 * 1024
#: Concurrent calls to an endpoint, each about a different user.
PARALLEL = 8
_HEADERS = {"Content-Type": "application/json", "User-Agent": "leadline"}
#: Statuses that say nothing about the result: the receiver is busy.
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})


class HttpSender:
    """Posts to one endpoint over persistent connections."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._url = endpoint.url or ""  # only the exchange has no URL, and another sender
        self._session = requests.Session()
        self._session.trust_env = False
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, Adapter(pool_maxsize=PARALLEL))
        self._tls = timed_connection.tls_context() if self._url.startswith("https:") else None

    def send(self, results: Sequence[Result]) -> list[Outcome]:
        """Post these results; returns an outcome for each."""
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="results") as threads:
            return list(threads.map(self._post, results))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _post(self, result: Result) -> Outcome:
        body = result.body()
        signed = headers(result, body, self._endpoint.keys, int(time.time()))
        exchange = Exchange(
            connect_s=CONNECT_S, response_s=ANSWER_S, send_until=None, tls=self._tls
        )
        token = timed_connection.current_exchange.set(exchange)
        try:
            with self._session.post(
                self._url, data=body, headers=_HEADERS | signed, allow_redirects=False, stream=True
            ) as response:
                exchange.is_complete = len(response.raw.read(ANSWER_MAX)) < ANSWER_MAX
                return _outcome(response.status_code)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            return Outcome(_problem(error, exchange), is_unreachable=True)
        finally:
            timed_connection.current_exchange.reset(token)


def _problem(error: BaseException, exchange: Exchange) -> str:
    """Why there was no answer: only the class, as a library's text may quote the URL."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TimeoutError | requests.Timeout):
            has_sent = exchange.was_sent
            what, limit_s = ("answer", ANSWER_S) if has_sent else ("connection", CONNECT_S)
            return f"no {what} within {limit_s:g} s"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _outcome(status: int) -> Outcome:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome()
    is_unreachable = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY
    return Outcome(f"status {status}", is_unreachable=is_unreachable)
