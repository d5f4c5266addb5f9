"""A pika connection that can be corked: it sends many messages with one system call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pika.adapters.asyncio_connection import AsyncioConnection
from pika.exceptions import AMQPHeartbeatTimeout


class CorkedConnection(AsyncioConnection):  # type: ignore[misc]  # pika has no types
    """Sends the frames of a `corked` block with one system call.

    Pika sends each frame separately, three for a message, and each system call takes longer than
    encoding the frame.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._buffer: list[bytes] | None = None
        super().__init__(*args, **kwargs)

    @contextmanager
    def corked(self) -> Iterator[None]:
        """Buffer the messages published in this block, and send them at its end."""
        buffer = self._buffer = []
        try:
            yield
        finally:
            self._buffer = None
            if buffer:
                self._adapter_emit_data(b"".join(buffer))

    def abort(self) -> None:
        """Drop the connection without closing it: a silent broker would not answer that either."""
        self._terminate_stream(AMQPHeartbeatTimeout("no confirms"))

    def _adapter_emit_data(self, data: bytes) -> None:
        """Override pika's method that sends: buffer in a `corked` block."""
        if self._buffer is None:
            super()._adapter_emit_data(data)
        else:
            self._buffer.append(data)
