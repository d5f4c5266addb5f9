"""The CRM's mode: a portal in simple mode turns each lead into a deal and keeps no leads.

In simple mode an update finds no lead and would create another one, so no calls are made until the
mode is classic again. The mode may change: it is checked when a worker starts, each hour, and when
a lead has vanished.
"""

from typing import Any

import redis

from leadline.bitrix24.command import Command
from leadline.errors import PortalDown
from leadline.runtime.redis import reachable

#: https://apidocs.bitrix24.com/api-reference/crm/how-to-add-objects-with-crm-mode.html
COMMAND = Command("crm.settings.mode.get", {})
#: The answer of a portal in simple mode; in classic mode it is 1.
SIMPLE = 2
#: Our error code for a portal in simple mode; Bitrix24 has none.
SIMPLE_MODE = "SIMPLE_CRM_MODE"
CHECK_EVERY_S = 3600
#: When to check again after a check without an answer.
RETRY_S = 30
#: How long a claimed check excludes other workers: the one that claimed it may have died.
CLAIM_S = 60

_CHECK_REQUIRED = b"in doubt"


def check(answer: Any) -> None:
    """Check the result of COMMAND.

    An answer without a mode passes: the webhook may lack the right, or the portal the method.

    Raises:
        PortalDown: the portal keeps no leads.
    """
    if str(answer) == str(SIMPLE):
        raise PortalDown(
            "the portal is in simple CRM mode, it keeps no leads:"
            " switch to classic CRM mode in the portal's CRM settings",
            code=SIMPLE_MODE,
        )


class CrmMode:
    """When to check the mode next, shared by all workers through Redis."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis = client
        self._key = f"{prefix}crm_mode"

    @reachable()
    def record_answer(self) -> None:
        """Postpone the check for an hour: the portal has just answered, and keeps leads."""
        self._redis.set(self._key, "asked", ex=CHECK_EVERY_S)

    @reachable()
    def postpone_check(self) -> None:
        """Postpone the check for RETRY_S, as the portal did not answer."""
        self._redis.set(self._key, "not answered", ex=RETRY_S)

    @reachable()
    def require_check(self) -> None:
        """Require a check before the next call: a lead was gone, or the mode was simple."""
        self._redis.set(self._key, _CHECK_REQUIRED)

    @reachable()
    def needs_check(self) -> bool:
        """Whether the mode must be checked before the next call."""
        return self._redis.get(self._key) == _CHECK_REQUIRED

    @reachable()
    def claim_check(self) -> bool:
        """Claim the hourly check; True for one worker only."""
        return bool(self._redis.set(self._key, "being asked", nx=True, ex=CLAIM_S))
