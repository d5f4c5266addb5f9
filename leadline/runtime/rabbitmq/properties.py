"""The properties of a message as it came, whatever its sender has put into them.

pika reads them while it reads a frame: what it can't decode ends the connection, and RabbitMQ
delivers the message again, so that one message would stop a consumer for good. Such headers are a
timestamp beyond year 9999, tables within tables without end, or a type that pika
does not know. They are left out here, and the message is read without any headers.
"""

import struct
from typing import Any

import pika
import pika.spec
from pika.exceptions import AMQPError

#: Tables and lists within one another. Nobody needs more; orjson writes 254, pika reads 300.
DEPTH_MAX = 16
_TEXTS = (
    *("content_type", "content_encoding", "correlation_id", "reply_to", "expiration"),
    *("message_id", "type", "user_id", "app_id", "cluster_id"),
)


class ReadableProperties(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """As pika's, but decoding raises nothing, texts are texts and headers are not too deep."""

    headers: dict[str, Any] | None

    def decode(self, encoded: bytes, offset: int = 0) -> "ReadableProperties":
        """From a frame."""
        try:
            super().decode(encoded, offset)
        except (AMQPError, ArithmeticError, OSError, RecursionError, ValueError, struct.error):
            super().decode(_without_headers(encoded, offset), offset)
        if self.headers and not _is_readable(self.headers, DEPTH_MAX):
            self.headers = {}
        for name in _TEXTS:
            text = getattr(self, name)
            if isinstance(text, bytes):  # not UTF-8
                setattr(self, name, text.decode(errors="replace"))
        return self


def install() -> None:
    """Have pika make these of every message that it receives."""
    pika.spec.props[pika.BasicProperties.INDEX] = ReadableProperties


def _is_readable(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        names_are_texts = all(isinstance(name, str) for name in value)
        return depth > 0 and names_are_texts and _are_readable(value.values(), depth)
    return not isinstance(value, list) or (depth > 0 and _are_readable(value, depth))


def _are_readable(values: Any, depth: int) -> bool:
    return all(_is_readable(one, depth - 1) for one in values)


def _without_headers(encoded: bytes, offset: int) -> bytes:
    """The same with an empty table in the place of the headers.

    https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, 4.2.6.1: flags, then each property that
    has one, in their order; content type and encoding come before the headers, as short texts.
    """
    (flags,) = struct.unpack_from(">H", encoded, offset)
    at = offset + 2
    for flag in (
        pika.BasicProperties.FLAG_CONTENT_TYPE,
        pika.BasicProperties.FLAG_CONTENT_ENCODING,
    ):
        if flags & flag:
            at += 1 + encoded[at]
    (length,) = struct.unpack_from(">I", encoded, at)
    return encoded[:at] + bytes(4) + encoded[at + 4 + length :]
