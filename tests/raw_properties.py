"""Properties of a message byte by byte, as no client of ours would write them."""

import struct

import pika

_FLAGS = {
    "content_type": pika.BasicProperties.FLAG_CONTENT_TYPE,
    "headers": pika.BasicProperties.FLAG_HEADERS,
    "correlation_id": pika.BasicProperties.FLAG_CORRELATION_ID,
    "message_id": pika.BasicProperties.FLAG_MESSAGE_ID,
}


class RawProperties(pika.BasicProperties):  # type: ignore[misc]  # pika has no types
    """Texts and the table of headers as they go over the wire."""

    def __init__(self, **parts: bytes) -> None:
        super().__init__()
        self._parts = parts

    def encode(self) -> list[bytes]:
        """For a frame: flags, then what they name, in this order."""
        flags, pieces = 0, []
        for name, flag in _FLAGS.items():
            if name in self._parts:
                part = self._parts[name]
                length = struct.pack(">I" if name == "headers" else ">B", len(part))
                flags |= flag
                pieces.append(length + part)
        return [struct.pack(">H", flags), *pieces]


def header(name: bytes, kind: bytes, value: bytes) -> bytes:
    """An entry of a table."""
    return bytes([len(name)]) + name + kind + value


def nested(depth: int) -> bytes:
    """A table within a table, and so on."""
    table = b""
    for _ in range(depth):
        table = header(b"a", b"F", struct.pack(">I", len(table)) + table)
    return table


def listed(depth: int) -> bytes:
    """A list within a list, and so on."""
    value = b"V"
    for _ in range(depth):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x01a" + value


#: Headers that RabbitMQ takes and pika can't read, or that could be written nowhere.
HOSTILE = {
    "a timestamp beyond every calendar": header(b"t", b"T", struct.pack(">Q", 2**62)),
    "tables without end": nested(5000),
    "lists without end": listed(5000),
    "tables as deep as can just be read": nested(250),
    "a name that is no text": header(b"\xff\xfe", b"I", bytes(4)),
}
