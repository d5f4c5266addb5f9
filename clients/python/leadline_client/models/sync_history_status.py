from enum import StrEnum


class SyncHistoryStatus(StrEnum):
    FAILED = "failed"
    SYNCED = "synced"
    WAITING = "waiting"

    def __str__(self) -> str:
        return str(self.value)
