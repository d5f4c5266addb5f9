"""Decodes the properties of a received message and tolerates any content.

pika decodes them with the frame: an error ends the connection, and RabbitMQ redelivers the message,
so one message would stop a consumer permanently. Examples are a timestamp beyond the year 9999,
deeply nested tables, or a type unknown to pika. Such a message is read without its headers.
"""

import struct
from typing import Any

import pika
import pika.spec
from pika.exceptions import AMQPError

#: Maximum nesting of tables and lists. orjson writes 254 levels, pika reads 300.
DEPTH_MAX = 16
_TEXTS = (
    *("content_type", "content_encoding", "correlation_id", "reply_to", "expiration"),
    *("message_id", "type", "user_id", "app_id", "cluster_id"),
)


class ReadableProperties(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Decoding never fails; texts are `str`, and headers are not nested too deeply."""

    headers: dict[str, Any] | None

    def decode(self, encoded: bytes, offset: int = 0) -> "ReadableProperties":
        """Decode the properties of a frame."""
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
    """Make pika use this class for every received message."""
    pika.spec.props[pika.BasicProperties.INDEX] = ReadableProperties


def _is_readable(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        names_are_texts = all(isinstance(name, str) for name in value)
        return depth > 0 and names_are_texts and _are_readable(value.values(), depth)
    return not isinstance(value, list) or (depth > 0 and _are_readable(value, depth))


def _are_readable(values: Any, depth: int) -> bool:
    return all(_is_readable(value, depth - 1) for value in values)


def _without_headers(encoded: bytes, offset: int) -> bytes:
    """The encoded properties with an empty table as headers.

    https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, 4.2.6.1: flags, then each property whose
    flag is set, in order; content type and encoding precede the headers, as short strings.
    """
    (flags,) = struct.unpack_from(">H", encoded, offset)
    position = offset + 2
    for flag in (
        pika.BasicProperties.FLAG_CONTENT_TYPE,
        pika.BasicProperties.FLAG_CONTENT_ENCODING,
    ):
        if flags & flag:
            position += 1 + encoded[position]
    (length,) = struct.unpack_from(">I", encoded, position)
    return encoded[:position] + bytes(4) + encoded[position + 4 + length :]
