from enum import StrEnum


class ListUsersSync(StrEnum):
    FAILED = "failed"
    SYNCED = "synced"
    WAITING = "waiting"

    def __str__(self) -> str:
        return str(self.value)
