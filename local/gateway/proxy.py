"""Forward requests to functions and responses to clients, as a gateway does."""

import asyncio
import uuid
from collections.abc import Iterable
from http import HTTPStatus
from itertools import chain, repeat

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from leadline.errors import LeadlineError
from leadline.runtime.serving.drain import KEEP_ALIVE_S
from local.gateway.functions import Functions
from local.gateway.internal_key import require_internal_key
from local.gateway.responses import BODY_WITHIN_S, error_response, problem_response
from local.gateway.routes import INTERNAL, Refusal, route

CALL_ID = "X-Call-Id"
#: The function of a request, for the log.
FUNCTION = web.RequestKey("function", str)
_BODY_LIMIT = 1024 * 1024
#: How long a request waits for a function that accepts no connection, and between its attempts.
RESTART_S = 5.0
_RECONNECT_S = 0.2
#: How long a connection may take: on the first attempt, and on later ones, as on a busy machine the
#: first limit may be too short. Nothing answers at the address of a container that is gone, or that
#: has no network yet, so of several addresses the next one is tried soon, too.
_CONNECT_S = (0.4, 1.0, 3.0)
_NEXT_ADDRESS_AFTER_S = 0.1
_TOTAL_S = 60
#: No connection, so nothing was sent: refused, without a route, or not within the time-out.
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
#: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate"),
        *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
    }
)


class Proxy:
    """Forwards requests to functions over persistent connections."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._session: aiohttp.ClientSession | None = None

    async def open(self, _app: web.Application) -> None:
        """Create the HTTP session."""
        self._session = aiohttp.ClientSession(
            # Each connection resolves the address again: that of a container which was replaced
            # may belong to another function by now.
            connector=aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,
                happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S,
                keepalive_timeout=KEEP_ALIVE_S,
            ),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self, _app: web.Application) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one request; every failure becomes a response, too."""
        call_id = request.headers.get(CALL_ID) or str(uuid.uuid4())
        try:
            return await self._forward(request, call_id)
        except LeadlineError as error:
            return error_response(error, X_Call_Id=call_id)
        except _NOT_CONNECTED:
            status, detail = HTTPStatus.SERVICE_UNAVAILABLE, "The function can't be reached."
        except TimeoutError:
            status, detail = HTTPStatus.GATEWAY_TIMEOUT, "The function took too long."
        except aiohttp.ClientError:
            status, detail = HTTPStatus.BAD_GATEWAY, "The function aborted its response."
        return problem_response(status, detail, Retry_After="1", X_Call_Id=call_id)

    async def _forward(self, request: web.Request, call_id: str) -> web.StreamResponse:
        """Answer what the edge itself can, and forward the rest; raises LeadlineError."""
        target = route(request.method, request.raw_path)
        if isinstance(target, Refusal):
            return problem_response(
                target.status, target.detail, Allow=target.allow, X_Call_Id=call_id
            )
        if target.function in INTERNAL:
            require_internal_key(request.headers.get("Authorization"))
        base = self._functions.address(target.function)
        if base is None:
            detail = "There is no function of this name."
            return problem_response(HTTPStatus.NOT_FOUND, detail, X_Call_Id=call_id)
        request[FUNCTION] = target.function
        headers = _request_headers(request, call_id)
        if headers is None:
            detail = "A header is not UTF-8."
            return problem_response(HTTPStatus.BAD_REQUEST, detail, X_Call_Id=call_id)
        try:
            body = await _read(request)
        except TimeoutError:
            detail = "The body did not arrive in time."
            return problem_response(HTTPStatus.REQUEST_TIMEOUT, detail, X_Call_Id=call_id)
        if body is None:
            detail = f"The edge accepts at most {_BODY_LIMIT} bytes."
            return problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, X_Call_Id=call_id)
        self._functions.calls[target.function] += 1
        return await self._exchange_with_retries(request, base + target.path, headers, body)

    async def _exchange_with_retries(
        self, request: web.Request, url: str, headers: CIMultiDict[str], body: bytes
    ) -> web.StreamResponse:
        """Retry while a function is being replaced: without a connection, nothing was sent."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RESTART_S
        time_limits = chain(_CONNECT_S, repeat(_CONNECT_S[-1]))
        while True:
            try:
                return await self._exchange(
                    request, url, headers, body, connect_s=next(time_limits)
                )
            except _NOT_CONNECTED:
                if loop.time() >= deadline:
                    raise
                await asyncio.sleep(_RECONNECT_S)

    async def _exchange(
        self,
        request: web.Request,
        url: str,
        headers: CIMultiDict[str],
        body: bytes,
        *,
        connect_s: float,
    ) -> web.StreamResponse:
        """Send the request and stream the response, in one attempt."""
        assert self._session  # noqa: S101 - opened at start
        async with self._session.request(
            request.method,
            URL(url, encoded=True),
            headers=headers,
            data=body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=connect_s),
        ) as answer:
            response = web.StreamResponse(
                status=answer.status,
                reason=answer.reason,
                headers=_end_to_end(answer.headers),
            )
            response.headers[CALL_ID] = answer.headers.get(CALL_ID) or headers[CALL_ID]
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


async def _read(request: web.Request) -> bytes | None:
    """The body, or None if it exceeds the limit; reads no further."""
    if (request.content_length or 0) > _BODY_LIMIT:
        return None
    body = bytearray()
    async with asyncio.timeout(BODY_WITHIN_S):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _BODY_LIMIT:
                return None
    return bytes(body)


def _request_headers(request: web.Request, call_id: str) -> CIMultiDict[str] | None:
    """The headers for the function; None if one can't be forwarded."""
    headers = _end_to_end(request.headers)
    headers.popall("Content-Length", None)
    headers[CALL_ID] = call_id
    client = request.remote or "unknown"
    forwarded_for = headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{forwarded_for}, {client}" if forwarded_for else client
    headers["X-Forwarded-Host"] = request.host
    headers["X-Forwarded-Proto"] = request.scheme
    return headers if _is_text(headers.values()) else None


def _is_text(values: Iterable[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _end_to_end(headers: CIMultiDictProxy[str] | CIMultiDict[str]) -> CIMultiDict[str]:
    """The headers without hop-by-hop ones, including those named in Connection."""
    connection_options = headers.get("Connection", "").lower().split(",")
    dropped = _HOP_BY_HOP | {name.strip() for name in connection_options}
    return CIMultiDict((key, value) for key, value in headers.items() if key.lower() not in dropped)
