from enum import StrEnum


class SyncStatus(StrEnum):
    FAILED = "failed"
    SYNCED = "synced"
    WAITING = "waiting"

    def __str__(self) -> str:
        return str(self.value)
