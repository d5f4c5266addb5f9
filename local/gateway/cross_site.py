"""Adapts `leadline.runtime.http.cross_site` to requests of aiohttp."""

from aiohttp import web

from leadline.runtime.http.cross_site import Guard, Head, Refusal


def refusal(guard: Guard, request: web.Request) -> Refusal | None:
    """As `Guard.refusal`. aiohttp accepts exactly one Host, or none with HTTP/1.0."""
    headers = request.headers
    head = Head(
        method=request.method,
        host=headers.get("Host"),
        origins=tuple(headers.getall("Origin", [])),
        sec_fetch_site=headers.get("Sec-Fetch-Site", ""),
        sec_fetch_mode=headers.get("Sec-Fetch-Mode", ""),
        sec_fetch_dest=headers.get("Sec-Fetch-Dest", ""),
        own_address=_own_address(request),
    )
    return guard.refusal(head)


def _own_address(request: web.Request) -> str:
    """The local address of the connection; "" if it has none."""
    address = request.transport and request.transport.get_extra_info("sockname")
    return str(address[0]).lower() if isinstance(address, tuple) else ""
