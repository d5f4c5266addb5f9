"""A connection of pika's that sends a lot of messages in one piece."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from pika import frame
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.spec import Basic

from leadline.runtime.broker import Message


class LotConnection(AsyncioConnection):  # type: ignore[misc]  # pika has no types
    """By itself pika sends each frame alone: three pieces for a message, three calls of the kernel.

    Each of them costs more than making the frame.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lot: list[bytes] | None = None
        super().__init__(*args, **kwargs)

    @contextmanager
    def as_one(self) -> Iterator[None]:
        """What is published meanwhile, on this thread, leaves together at the end."""
        lot = self._lot = []
        try:
            yield
        finally:
            self._lot = None
            if lot:
                self._adapter_emit_data(b"".join(lot))

    def publish(self, channel: int, message: Message) -> None:
        """Publish on the channel of this number; raises what pika does where it can't be encoded.

        As `basic_publish`, which writes the same method frame anew for each message.
        """
        method = _publishes(channel, message.queue)
        header = frame.Header(channel, len(message.body), message.properties()).marshal()
        size = self._body_max_length
        bodies = [
            frame.Body(channel, message.body[start : start + size]).marshal()
            for start in range(0, len(message.body), size)
        ]
        self._output_marshaled_frames([method, header, *bodies])

    def _adapter_emit_data(self, data: bytes) -> None:
        """Where pika's adapters say how they send."""
        if self._lot is None:
            super()._adapter_emit_data(data)
        else:
            self._lot.append(data)


@lru_cache
def _publishes(channel: int, queue: str) -> bytes:
    """The frame that says where a message goes."""
    # mandatory, with confirms: without both an unroutable message vanishes
    method = Basic.Publish(exchange="", routing_key=queue, mandatory=True)
    encoded: bytes = frame.Method(channel, method).marshal()
    return encoded
