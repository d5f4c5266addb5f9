"""Contains all the data models used in inputs/outputs"""

from .batch import Batch
from .batch_answer import BatchAnswer
from .batch_item import BatchItem
from .batch_outcome import BatchOutcome
from .changes import Changes
from .event import Event
from .event_action import EventAction
from .event_state import EventState
from .field_error import FieldError
from .list_users_sync import ListUsersSync
from .move import Move
from .new_user import NewUser
from .page import Page
from .problem import Problem
from .stage_list import StageList
from .stage_view import StageView
from .sync import Sync
from .sync_history import SyncHistory
from .sync_history_status import SyncHistoryStatus
from .sync_status import SyncStatus
from .upsert import Upsert
from .user import User
from .user_details import UserDetails
from .user_summary import UserSummary

__all__ = (
    "Batch",
    "BatchAnswer",
    "BatchItem",
    "BatchOutcome",
    "Changes",
    "Event",
    "EventAction",
    "EventState",
    "FieldError",
    "ListUsersSync",
    "Move",
    "NewUser",
    "Page",
    "Problem",
    "StageList",
    "StageView",
    "Sync",
    "SyncHistory",
    "SyncHistoryStatus",
    "SyncStatus",
    "Upsert",
    "User",
    "UserDetails",
    "UserSummary",
)
