"""Parses a database URL into pg8000's connect options."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from leadline.errors import BadConfiguration
from leadline.runtime import cleartext
from leadline.runtime.hosts import each_host
from leadline.runtime.postgres.connection import TlsSocket

#: libpq's words for a server that accepts writes.
_WRITABLE = ("read-write", "primary")


@dataclass(frozen=True)
class Servers:
    """The servers of a database URL: one, or the nodes of a cluster."""

    #: pg8000's options for each.
    options: tuple[Mapping[str, Any], ...]
    #: Use only a server that accepts writes.
    must_accept_writes: bool


@lru_cache(maxsize=4)
def servers(url: str) -> Servers:
    """The servers of this URL; `sslmode`, `sslrootcert` and `target_session_attrs` as in libpq.

    https://www.postgresql.org/docs/current/libpq-connect.html, "Specifying Multiple Hosts".

    Raises:
        BadConfiguration: the URL is invalid or lacks TLS; the text does not quote it.
    """
    try:
        nodes = [urlsplit(node) for node in each_host(url)]
        addresses = [(node.hostname or "", node.port or 5432) for node in nodes]
    except ValueError:  # its text would quote the URL, so the URL counts as empty
        nodes, addresses = [urlsplit("")], [("", 0)]
    parts = nodes[0]
    if parts.scheme not in {"postgresql", "postgres"} or not all(host for host, _ in addresses):
        raise BadConfiguration(
            "DATABASE_URL must look like postgresql://user:password@host:5432/db"
        )
    cleartext.require_tls("postgres", url)
    query = dict(parse_qsl(parts.query))
    session_attrs = query.get("target_session_attrs", "any")
    if session_attrs not in ("any", *_WRITABLE):
        raise BadConfiguration("target_session_attrs must be any, read-write or primary")
    common = {
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or "postgres",
        "ssl_context": _ssl_context(query),
    }
    options = tuple({"host": host, "port": port, **common} for host, port in addresses)
    return Servers(options, must_accept_writes=session_attrs in _WRITABLE)


def _ssl_context(query: dict[str, str]) -> ssl.SSLContext | bool:
    """TLS as in https://www.postgresql.org/docs/current/libpq-ssl.html; False for none.

    `require` accepts any certificate. Called once per URL: creating a context takes 30 ms.
    """
    mode, roots = query.get("sslmode", "disable"), query.get("sslrootcert", "system")
    if mode == "disable":
        return False
    if mode not in cleartext.TLS_MODES:
        raise BadConfiguration("sslmode must be disable, require, verify-ca or verify-full")
    try:
        context = ssl.create_default_context(cafile=None if roots == "system" else roots)
    except OSError:  # ssl.SSLError is one too
        raise BadConfiguration("sslrootcert must be a readable file of certificates") from None
    context.sslsocket_class = TlsSocket
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context
