"""Properties of a message, encoded byte by byte, as no client library would write them."""

import struct

import pika

#: The flag of each property, in the order in which AMQP encodes them.
_FLAGS = {
    "content_type": pika.BasicProperties.FLAG_CONTENT_TYPE,
    "headers": pika.BasicProperties.FLAG_HEADERS,
    "correlation_id": pika.BasicProperties.FLAG_CORRELATION_ID,
    "message_id": pika.BasicProperties.FLAG_MESSAGE_ID,
}


class RawProperties(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Properties given as the bytes of their strings and of the header table."""

    def __init__(self, **parts: bytes) -> None:
        super().__init__()
        self._parts = parts

    def encode(self) -> list[bytes]:
        """The payload of a header frame: flags, then the properties that they announce."""
        flags = 0
        pieces = []
        for name, flag in _FLAGS.items():
            if name in self._parts:
                part = self._parts[name]
                length = struct.pack(">I" if name == "headers" else ">B", len(part))
                flags |= flag
                pieces.append(length + part)
        return [struct.pack(">H", flags), *pieces]


def header(name: bytes, kind: bytes, value: bytes) -> bytes:
    """An entry of a header table; `kind` is AMQP's letter for the type of the value."""
    return bytes([len(name)]) + name + kind + value


def nested_tables(depth: int) -> bytes:
    """A header table with tables inside each other, this many levels deep."""
    table = b""
    for _ in range(depth):
        table = header(
            b"a",
            b"F",  # a table
            struct.pack(">I", len(table)) + table,
        )
    return table


def nested_lists(depth: int) -> bytes:
    """A header table with lists inside each other, this many levels deep."""
    value = b"V"  # no value
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value  # a list
    return b"\x01a" + value  # the length of the name, the name "a", its value


#: Headers that RabbitMQ accepts, and that pika cannot read or cannot write again.
HOSTILE = {
    "a timestamp beyond every calendar": header(b"t", b"T", struct.pack(">Q", 2**62)),
    "tables without end": nested_tables(5000),
    "lists without end": nested_lists(5000),
    "tables as deep as can just be read": nested_tables(250),
    "a name that is no text": header(b"\xff\xfe", b"I", bytes(4)),
}
