"""The checker: applies every rule to one history."""

from tests.checker import attempts, dead_letters, leads, ledger, rate, replies, texts
from tests.checker.history import History, Violation

RULES = (
    *ledger.RULES,
    *replies.RULES,
    *leads.RULES,
    *rate.RULES,
    *attempts.RULES,
    *dead_letters.RULES,
    *texts.RULES,
)


def check(history: History) -> list[Violation]:
    """Every broken rule, with the user or event concerned; empty if there is none."""
    return [violation for rule in RULES for violation in rule(history)]
