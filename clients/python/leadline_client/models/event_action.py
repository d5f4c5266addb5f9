from enum import StrEnum


class EventAction(StrEnum):
    CREATE_CARD = "create_card"
    MOVE_CARD = "move_card"
    UPDATE_CARD = "update_card"

    def __str__(self) -> str:
        return str(self.value)
