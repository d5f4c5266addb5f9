"""Which requests to refuse so that no web page can use a server that asks for no keys.

A page that is open in a browser can have requests sent to loopback and to the networks of the
machine. It writes with them (cross-site request forgery), and once its own name leads to the
server, it reads the answers too (DNS rebinding). Both show in headers that a page can't set:
`Host`, `Origin` and `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/).
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
    """What a request says of where it comes from, and of whom it asks."""

    method: str
    #: None where none was sent, as by HTTP/1.0, which browsers left.
    host: str | None
    origins: tuple[str, ...]
    sec_fetch_site: str
    sec_fetch_mode: str
    sec_fetch_dest: str
    #: Where the connection has arrived; "" where that is not known.
    own_address: str


@dataclass(frozen=True)
class Refusal:
    """Status and sentence of the answer."""

    status: HTTPStatus
    detail: str


@dataclass(frozen=True)
class Guard:
    """Knows by which names the server may be called: loopback's, its own address, and these.

    A name that begins with a dot stands for all names below it.
    """

    names: frozenset[str]

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> "Guard":
        """With the names in ALLOWED_HOSTS, separated by commas."""
        names = env.get("ALLOWED_HOSTS", "").split(",")
        return cls(frozenset(name.strip().lower() for name in names if name.strip()))

    def refusal(self, head: Head) -> Refusal | None:
        """Why not to serve this request, None where nothing is wrong.

        Links of other sites may lead here, as a GET changes nothing.
        """
        host = None if head.host is None else _split(head.host)
        if host and not self._is_ours(host, head.own_address):
            detail = "This server has another name; ALLOWED_HOSTS may add one."
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, detail)
        if self._is_of_another_origin(head, host) and not _is_link(head):
            return Refusal(HTTPStatus.FORBIDDEN, "Pages of other sites can't use this server.")
        return None

    def _is_ours(self, host: SplitResult, own_address: str) -> bool:
        name = _name(host)
        return bool(name) and (name == own_address or self._is_named(name) or _is_loopback(name))

    def _is_named(self, name: str) -> bool:
        below = (one for one in self.names if one.startswith("."))
        return name in self.names or any(name.endswith(one) for one in below)

    def _is_of_another_origin(self, head: Head, host: SplitResult | None) -> bool:
        """Whether a page that did not come from here has the request made."""
        for origin in head.origins:
            sent = _split(origin.partition("://")[2])
            is_same = host is not None and sent.netloc.lower() == host.netloc.lower()
            if not is_same and not self._is_named(_name(sent)):
                return True
        return head.sec_fetch_site not in {"", "none", "same-origin"}


def _is_link(head: Head) -> bool:
    """Whether a person follows a link to a page: the other site sees nothing of the answer."""
    return (
        head.method in _SAFE
        and not head.origins
        and head.sec_fetch_mode == "navigate"
        and head.sec_fetch_dest == "document"
    )


def _split(netloc: str) -> SplitResult:
    """Host and port; no name where it is neither."""
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _name(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".")


def _is_loopback(name: str) -> bool:
    # RFC 6761, 6.3: names below localhost lead to loopback and belong to nobody.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
