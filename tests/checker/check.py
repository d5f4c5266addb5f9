"""The checker: every rule, asked of one history."""

from tests.checker import attempts, leads, ledger, letters, rate, replies, texts
from tests.checker.history import Broken, History

RULES = (
    *ledger.RULES,
    *replies.RULES,
    *leads.RULES,
    *rate.RULES,
    *attempts.RULES,
    *letters.RULES,
    *texts.RULES,
)


def check(history: History) -> list[Broken]:
    """Every rule that was not kept, with whom it concerns; empty if all were."""
    return [broken for rule in RULES for broken in rule(history)]
