"""Damage to an answer: each function takes the first bytes and returns those to pass on.

`HTTP_DAMAGES` change a readable HTTP answer, `TLS_DAMAGES` its TLS records. After a damaged answer
the connection is closed, unless the answer stays complete.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Damage:
    """How the first bytes of an answer are changed, and whether the connection is then closed."""

    spoil: Callable[[bytes], bytes]
    is_cut: bool = True


UNDAMAGED = Damage(bytes, is_cut=False)  # `bytes` returns them as they are


def _without_colon(answer: bytes) -> bytes:
    """A malformed header line."""
    return answer.replace(b"\r\n", b"\r\nthis is no header\r\n", 1)


def _without_status(answer: bytes) -> bytes:
    return b"HTTP/banana\r\n" + answer.partition(b"\r\n")[2]


def _too_many_headers(answer: bytes) -> bytes:
    more = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
    return answer.replace(b"\r\n", b"\r\n" + more, 1)


def _another_length(answer: bytes) -> bytes:
    return answer.replace(b"Content-Length: ", b"Content-Length: 9")


def _half(answer: bytes) -> bytes:
    return answer[: len(answer) // 2]


def _flip_bit(answer: bytes) -> bytes:
    """A flipped bit in the last byte: the record's MAC fails."""
    return answer[:-1] + bytes([answer[-1] ^ 1])


def _plain(_: bytes) -> bytes:
    """A load balancer that answers without TLS."""
    return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


HTTP_DAMAGES = {
    "malformed_header": Damage(_without_colon, is_cut=False),
    "malformed_status": Damage(_without_status),
    "too_many_headers": Damage(_too_many_headers),
    "another_length": Damage(_another_length),
    "half": Damage(_half),
}
TLS_DAMAGES = {
    "half_a_record": Damage(_half),
    "flipped_bit": Damage(_flip_bit),
    "plain_text_in_tls": Damage(_plain),
}
