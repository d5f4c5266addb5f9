"""Protects a server without authentication from web pages of other sites.

A page in a browser can send requests to loopback and to the machine's networks. With them it can
write (cross-site request forgery), and if its own name resolves to the server, it can read the
responses, too (DNS rebinding). Both are visible in headers that a page can't set: `Host`, `Origin`
and `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/).
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of a request that say where it comes from and which server it is for."""

    method: str
    #: None if none was sent, as in HTTP/1.0, which no browser uses.
    host: str | None
    origins: tuple[str, ...]
    sec_fetch_site: str
    sec_fetch_mode: str
    sec_fetch_dest: str
    #: The local address of the connection; "" if unknown.
    own_address: str


@dataclass(frozen=True)
class Refusal:
    """Status and detail of the error response."""

    status: HTTPStatus
    detail: str


@dataclass(frozen=True)
class Guard:
    """Accepts requests for loopback, the server's own address, and `names`.

    A name that begins with a dot includes all its subdomains.
    """

    names: frozenset[str]

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Guard":
        """A guard with the names in ALLOWED_HOSTS, separated by commas."""
        names = env.get("ALLOWED_HOSTS", "").split(",")
        return cls(frozenset(name.strip().lower() for name in names if name.strip()))

    def refusal(self, head: Head) -> Refusal | None:
        """Why to refuse this request; None to accept it.

        Links from other sites are accepted, since a GET changes nothing.
        """
        host = None if head.host is None else _split(head.host)
        if host is not None and not self._is_this_server(host, head.own_address):
            detail = "This server does not accept this host name; ALLOWED_HOSTS may add it."
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, detail)
        if self._is_cross_origin(head, host) and not _is_link(head):
            return Refusal(HTTPStatus.FORBIDDEN, "Pages of other sites can't use this server.")
        return None

    def _is_this_server(self, host: SplitResult, own_address: str) -> bool:
        name = _name(host)
        return bool(name) and (name == own_address or self._is_named(name) or _is_loopback(name))

    def _is_named(self, name: str) -> bool:
        suffixes = (suffix for suffix in self.names if suffix.startswith("."))
        return name in self.names or any(name.endswith(suffix) for suffix in suffixes)

    def _is_cross_origin(self, head: Head, host: SplitResult | None) -> bool:
        """Whether a page of another origin sent the request."""
        for origin in head.origins:
            origin_parts = _split(origin.partition("://")[2])
            is_same = host is not None and origin_parts.netloc.lower() == host.netloc.lower()
            if not is_same and not self._is_named(_name(origin_parts)):
                return True
        return head.sec_fetch_site not in {"", "none", "same-origin"}


def _is_link(head: Head) -> bool:
    """Whether a person follows a link: the other site can't read the response."""
    return (
        head.method in _SAFE
        and not head.origins
        and head.sec_fetch_mode == "navigate"
        and head.sec_fetch_dest == "document"
    )


def _split(netloc: str) -> SplitResult:
    """Host and port; without a name if it is malformed."""
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port  # raises if it is no number
    except ValueError:
        return urlsplit("")
    return parts


def _name(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".")


def _is_loopback(name: str) -> bool:
    # RFC 6761, 6.3: names below localhost resolve to loopback, and no one can register them.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
