"""A connection of pika's that sends a lot of messages in one piece."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pika.adapters.asyncio_connection import AsyncioConnection


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

    def _adapter_emit_data(self, data: bytes) -> None:
        """Where pika's adapters say how they send."""
        if self._lot is None:
            super()._adapter_emit_data(data)
        else:
            self._lot.append(data)
