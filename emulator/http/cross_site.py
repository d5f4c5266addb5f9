"""Protects a server on a developer's machine from web pages.

A page that is open in a browser can send requests to loopback. It can write with them (cross-site
request forgery) and, if its own name resolves to loopback, read the responses (DNS rebinding). Both
show in headers that a page can't set: `Host`, `Origin` and `Sec-Fetch-Site`
(https://www.w3.org/TR/fetch-metadata/).
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True)
class Refusal:
    """Status and text of the response to a rejected request."""

    status: HTTPStatus
    detail: str


@dataclass(frozen=True)
class Guard:
    """Accepts requests to loopback, to the server's own address and to `names`, and no others."""

    names: frozenset[str]

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Guard":
        """A guard with the comma-separated names in ALLOWED_HOSTS."""
        names = env.get("ALLOWED_HOSTS", "").split(",")
        return cls(frozenset(name.strip().lower() for name in names if name.strip()))

    def refusal(self, request: web.Request, *, is_page: bool = True) -> Refusal | None:
        """The response with which to reject this request, or None to accept it.

        `is_page`: a GET changes nothing on this path, so links from other sites are allowed.
        """
        # aiohttp accepts exactly one Host, or none with HTTP/1.0, which browsers no longer use.
        sent = request.headers.get("Host")
        host = None if sent is None else _split(sent)
        if host and not self._is_ours(host, _own_address(request)):
            detail = "This server has another name; ALLOWED_HOSTS may add one."
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, detail)
        if self._is_cross_origin(request, host) and not (is_page and _is_link(request)):
            return Refusal(HTTPStatus.FORBIDDEN, "Pages of other sites can't use this server.")
        return None

    def _is_ours(self, host: SplitResult, own_address: str) -> bool:
        name = _name(host)
        return bool(name) and (name in self.names | {own_address} or _is_loopback(name))

    def _is_cross_origin(self, request: web.Request, host: SplitResult | None) -> bool:
        """Whether a page of another origin sent the request."""
        for origin in request.headers.getall("Origin", []):
            sent = _split(origin.partition("://")[2])
            is_same = host is not None and sent.netloc.lower() == host.netloc.lower()
            if not is_same and _name(sent) not in self.names:
                return True
        return request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}


def _is_link(request: web.Request) -> bool:
    """Whether a person followed a link, whose response the other site cannot read."""
    return (
        request.method in _SAFE
        and "Origin" not in request.headers
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    )


def _split(netloc: str) -> SplitResult:
    """`host:port` as a URL's parts; without a host name if `netloc` is invalid."""
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port  # raises ValueError if it is no number
    except ValueError:
        return urlsplit("")
    return parts


def _name(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".")


def _own_address(request: web.Request) -> str:
    """The local address of the connection; "" if it has none."""
    address = request.transport and request.transport.get_extra_info("sockname")
    return str(address[0]).lower() if isinstance(address, tuple) else ""


def _is_loopback(name: str) -> bool:
    # RFC 6761, 6.3: names below localhost resolve to loopback and cannot be registered.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
