from enum import StrEnum


class EventState(StrEnum):
    FAILED = "failed"
    OPEN = "open"
    SUPERSEDED = "superseded"
    SYNCED = "synced"

    def __str__(self) -> str:
        return str(self.value)
