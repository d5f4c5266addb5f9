"""Scripted faults: which rule applies to which request or command.

A rule that names a method applies to a single call of it and to a command of it inside a batch.
crm.lead.X and crm.item.X with entityTypeId 1 are one operation on the same leads, so a rule that
names one applies to both. Only `error` and `error_200` affect one command of a batch; every other
action affects the whole response, so it counts, skips and draws once per HTTP request.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, get_type_hints

from emulator.validators import Choice, Flag, Number, Text, Whole

#: The verbs that both crm.item.* and crm.lead.*, crm.deal.* and so on have.
_IN_BOTH_APIS = {"add", "update", "get", "list", "delete", "fields"}
#: The actions that affect one command of a batch.
_PER_COMMAND = {"error", "error_200"}
_ACTIONS = (
    "error",
    "drop_after",
    "drop_before",
    "late_commit",
    "delay",
    "html_502",
    "truncate",
    "redirect",
    "error_200",
)

_DESCRIPTIONS = {
    "QUERY_LIMIT_EXCEEDED": "Too many requests",
    "OPERATION_TIME_LIMIT": "Method is blocked due to operation time limit.",
    "OVERLOAD_LIMIT": "REST API is blocked due to overload",
    "NO_AUTH_FOUND": "Wrong authorization data",
    "ACCESS_DENIED": "Access denied.",
    "PORTAL_DELETED": "Portal was deleted",
    "ERROR_UNEXPECTED_ANSWER": "Server returned an unexpected response",
}


class InvalidRule(ValueError):
    """A fault rule is invalid."""


@dataclass
class Rule:
    """A fault: to which calls it applies, what it does, how often.

    Each annotation holds the check of the value that a client sends.
    """

    method: Annotated[str, Text(200)]
    action: Annotated[str, Choice(*_ACTIONS)]
    #: What `error` and `html_502` answer.
    status: Annotated[int | None, Whole(200, 599, is_optional=True)] = None
    code: Annotated[str, Text(200)] = "INTERNAL_SERVER_ERROR"
    description: Annotated[str | None, Text(200_000, is_optional=True)] = None
    delay_ms: Annotated[float, Number(0, 1e7)] = 0
    #: The probability with which the rule applies to a matching call.
    share: Annotated[float, Number(0, 1)] = 1
    #: How often the rule applies at most.
    count: Annotated[int | None, Whole(0, 10**12, is_optional=True)] = None
    #: How many matching calls pass before the rule may apply.
    skip: Annotated[int, Whole(0, 10**12)] = 0
    #: `drop_after`: how many commands of the batch run.
    after_commands: Annotated[int | None, Whole(0, 10**6, is_optional=True)] = None
    #: `html_502`: whether the request is executed first.
    execute: Annotated[bool, Flag()] = False
    #: `late_commit`: whether the connection stays open until the commit.
    silent: Annotated[bool, Flag()] = False
    #: `redirect`: the new URL.
    location: Annotated[str, Text(2000)] = ""

    #: How many matching calls there were, and to how many of them the rule was applied.
    seen: int = 0
    bitten: int = 0

    def matches(self, method: str) -> bool:
        """Whether the rule names this method, given by its canonical name."""
        return self.method == "*" or canonical_name(self.method) == method

    def draw(self, generator: random.Random) -> bool:
        """Count a matching call, and decide whether the rule applies to it."""
        self.seen += 1
        if self.seen <= self.skip or (self.count is not None and self.bitten >= self.count):
            return False
        if self.share < 1 and generator.random() >= self.share:
            return False
        self.bitten += 1
        return True

    @property
    def error_description(self) -> str:
        """The rule's own text, or the portal's for a known code."""
        if self.description is not None:
            return self.description
        return _DESCRIPTIONS.get(self.code, "Internal server error")

    def as_json(self) -> dict[str, Any]:
        """The rule with its defaults, `seen` and `bitten`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass
class FaultPlan:
    """The faults of one request: at most one for the request as a whole and one per command."""

    request_rule: Rule | None = None
    command_rules: dict[int, Rule] = field(default_factory=dict)


class FaultRules:
    """The rules in force."""

    def __init__(self, seed: int = 0) -> None:
        self.rules: list[Rule] = []
        self._generator = random.Random(seed)  # noqa: S311 (faults are repeatable, not secret)

    def seed(self, seed: int) -> None:
        """Restart the random sequence."""
        self._generator = random.Random(seed)  # noqa: S311

    def plan(self, name: str, commands: Sequence[str]) -> FaultPlan:
        """The faults of a request `name` that holds `commands` (canonical names)."""
        plan = FaultPlan()
        for rule in self.rules:
            if commands and rule.action in _PER_COMMAND and rule.method not in {"*", "batch"}:
                self._plan_commands(plan, rule, commands)
            elif plan.request_rule is None and _matches(rule, name, commands) and self._draw(rule):
                plan.request_rule = rule
        return plan

    def _plan_commands(self, plan: FaultPlan, rule: Rule, commands: Sequence[str]) -> None:
        for index, command in enumerate(commands):
            if index not in plan.command_rules and rule.matches(command) and self._draw(rule):
                plan.command_rules[index] = rule

    def _draw(self, rule: Rule) -> bool:
        return rule.draw(self._generator)


def parse(sent: object) -> list[Rule]:
    """Rules from a client; raises InvalidRule."""
    rules = [sent] if isinstance(sent, dict) else sent
    if not isinstance(rules, list):
        raise InvalidRule("must be a list of rules")
    return [_rule(index, rule) for index, rule in enumerate(rules)]


def canonical_name(method: str, entity: str = "lead") -> str:
    """The name by which rules match a method: crm.lead.add also for crm.item.add of a lead."""
    family, _, verb = method.lower().rpartition(".")
    if family == "crm.item" and verb in _IN_BOTH_APIS:
        return f"crm.{entity}.{verb}"
    return method.lower()


def _matches(rule: Rule, name: str, commands: Iterable[str]) -> bool:
    return rule.matches(name) or any(rule.matches(command) for command in commands)


def _rule(index: int, sent: object) -> Rule:
    """The rule at this index of the sent list; raises InvalidRule."""
    if not isinstance(sent, dict):
        raise InvalidRule(f"rule {index}: must be an object")
    hints = get_type_hints(Rule, include_extras=True)
    for name in sent:
        is_settable = hasattr(hints.get(name), "__metadata__")  # counters have no annotation
        if not is_settable:
            raise InvalidRule(f"rule {index}: {name}: no such key")
    for name in ("method", "action"):
        if name not in sent:
            raise InvalidRule(f"rule {index}: {name} is missing")
    return Rule(**{name: _checked(index, name, hints[name], value) for name, value in sent.items()})


def _checked(index: int, name: str, hint: Any, value: object) -> Any:
    (validator,) = hint.__metadata__
    try:
        return validator.check(value)
    except ValueError as error:
        raise InvalidRule(f"rule {index}: {name}: {error}") from None
