"""One seed's history as a transcript, shrunk to the fewest faults and writes that still fail."""

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.dangers import draw
from tests.simulation.plan import Fault, Plan, Shape, Write
from tests.simulation.play import Player, Result
from tests.simulation.transcript import render


def print_history(seed: int, *, shrink: bool) -> int:
    """Print the history of this seed; 1 if a rule was broken."""
    player = Player()
    try:
        plan = draw(seed)
        result = player.play(plan)
        if result.violations and shrink:
            smaller = shrunk(player, result)
            print(
                f"seed {seed}, shrunk from {len(plan.items)} writes and faults "
                f"to {len(smaller.plan.items)}"
            )
            result = smaller
        print(render(result))
        return 1 if result.violations else 0
    finally:
        player.close()


def shrunk(player: Player, failed: Result) -> Result:
    """The failure, without the writes and faults that it does not need."""
    best = failed
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for plan in _smaller(best.plan):
            result = player.play(plan)
            if _breaks_same_rule(result, failed):
                best = result
                is_smaller = True
                break
    return player.play(best.plan)


def _breaks_same_rule(result: Result, failed: Result) -> bool:
    """Whether the result breaks a rule that the failure broke, too."""
    return bool(kinds(result.violations) & kinds(failed.violations))


def kinds(violations: list[str]) -> set[str]:
    """The beginnings of the violations, without numbers: they tell one broken rule from another."""
    return {
        "".join(character for character in text if not character.isdigit())[:40]
        for text in violations
    }


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with one item less, then with less of the system, then with one simpler item."""
    for at in reversed(range(len(plan.items))):
        yield replace(plan, items=plan.items[:at] + plan.items[at + 1 :])
    shape = plan.shape
    plain = Shape(
        workers=1,
        intakes=1,
        repliers=1,
        burst=shape.burst,
        has_neighbours=False,
        calm_after_s=shape.calm_after_s,
    )
    for name in ("workers", "intakes", "repliers"):
        if getattr(shape, name) > 1:
            yield replace(plan, shape=replace(shape, **{name: getattr(shape, name) - 1}))
    for name in ("has_neighbours", "redis_ahead_s", "postgres_ahead_s", "processes_ahead_s"):
        if getattr(shape, name) != getattr(plain, name):
            yield replace(plan, shape=replace(shape, **{name: getattr(plain, name)}))
    for at, item in enumerate(plan.items):
        for simpler in _simpler(item):
            yield replace(plan, items=(*plan.items[:at], simpler, *plan.items[at + 1 :]))


def _simpler(item: Write | Fault) -> Iterator[Write | Fault]:
    if isinstance(item, Write):
        if item.with_key:
            yield replace(item, with_key=False)
        if item.if_match:
            yield replace(item, if_match=False)
    elif item.delay_s:
        yield replace(item, delay_s=0.0)
