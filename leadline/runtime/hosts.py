"""URLs that name several hosts, the nodes of a cluster: `amqp://user:password@one,two:5673/`."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Node:
    """A node that a URL names, and how it answered."""

    #: Host and port.
    address: str
    #: Its role in the cluster; "" if it did not answer.
    role: str
    #: Why it did not answer; "" if it did.
    error: str = ""


def order_from(first: int, count: int) -> list[int]:
    """The indices 0 to `count` - 1 in rotation, `first` first: the order in which to try nodes."""
    return [(first + step) % count for step in range(count)]


def each_host(url: str) -> list[str]:
    """The URL of each host alone, in the given order.

    Raises:
        ValueError: the URL is invalid, or a host is empty.
    """
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    names = hosts.split(",")
    if len(names) > 1 and not all(names):
        raise ValueError("an empty host")
    return [parts._replace(netloc=f"{credentials}{at}{name}").geturl() for name in names]
