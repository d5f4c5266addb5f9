"""URLs that name several hosts, the nodes of a cluster: `amqp://user:password@one,two:5673/`."""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

#: Scheme, credentials and hosts, then the rest.
_URL = re.compile(r"([^/?#]*//)([^/?#]*@)?([^/?#]*)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a cluster, and how it answered."""

    #: Host and port.
    address: str
    #: Its role in the cluster; "" if it has none.
    role: str
    #: Why it has no role, such as that it does not answer; "" if it has one.
    error: str = ""
    #: Identifies the server, as a proxy may lead to any of them.
    server: str = ""


def silent_node(address: str, reason: str) -> Node:
    """A node that does not answer."""
    return Node(address, role="", error=f"does not answer: {reason}")


def order_from(first: int, count: int) -> list[int]:
    """The indices 0 to `count` - 1 in rotation, `first` first: the order in which to try nodes."""
    return [(first + step) % count for step in range(count)]


def each_host(url: str) -> list[str]:
    """The URL of each host alone, in the given order.

    Raises:
        ValueError: the URL is invalid, or a host is empty.
    """
    # Not by urlsplit: since Python 3.13.2 it rejects `[::1],[::2]`.
    match = _URL.fullmatch(url)
    if match is None:
        return [urlsplit(url).geturl()]
    scheme, credentials, hosts, rest = match.groups(default="")
    names = hosts.split(",")
    if len(names) > 1 and not all(names):
        raise ValueError("an empty host")
    return [urlsplit(f"{scheme}{credentials}{name}{rest}").geturl() for name in names]


def with_first_host(url: str) -> SplitResult:
    """The parts of the URL with its first host alone: the others have the same login and path.

    Raises:
        ValueError: as `each_host`.
    """
    return urlsplit(each_host(url)[0])
