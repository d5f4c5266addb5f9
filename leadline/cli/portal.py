"""`leadline portal check`: does the portal serve us, and as Leadline expects it?"""

from typing import Annotated, Any

import typer

from leadline.bitrix24 import crm_mode, lead_answers, leads
from leadline.bitrix24.client import CommandResult
from leadline.bitrix24.command import Command
from leadline.cli.output import FOUND, Json, as_json, facts, say
from leadline.errors import BitrixError
from leadline.operations import audit, manual_hold
from leadline.settings import settings
from leadline.sync import portal_session
from leadline.sync.reconcile import throttled_reads

#: crm.settings.mode.get
_MODES = {1: "classic", crm_mode.SIMPLE: "simple"}

HELD = "an operator has paused all calls: leadline portal resume"

app = typer.Typer(no_args_is_help=True, help="The portal of Bitrix24.")

_QUESTIONS = {
    "rights": Command("scope", {}),
    "mode": crm_mode.COMMAND,
    "stages": leads.list_stages(),
    "user": Command("profile", {}),
    "leads": leads.list_after("0", "-"),
}


@app.callback()
def portal() -> None:
    """The portal of Bitrix24."""


@app.command()
def check(*, json: Json = False) -> None:
    """Ask the portal: is the webhook alive, what may it do, which stages, which mode.

    Exit code 1: something is not as Leadline needs it; the line `trouble` says what.
    """
    told, trouble = examine()
    if json:
        as_json({**told, "trouble": trouble})
    else:
        lists = (
            (name, ", ".join(one) if isinstance(one, list) else one) for name, one in told.items()
        )
        facts([*lists, *(("trouble", text) for text in trouble)])
    if trouble:
        raise typer.Exit(FOUND)


@app.command()
def pause(
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it paused.")] = "",
    json: Json = False,
) -> None:
    """Make no calls to Bitrix24 until `resume`. Those under way are finished, writes are kept."""
    with audit.recorded("pause calls", reason=reason):
        manual_hold.hold(reason)
    as_json({"paused": True}) if json else say("paused: no calls are made until `portal resume`")


@app.command()
def resume(*, json: Json = False) -> None:
    """Make calls again, whyever they were paused; a portal that still fails pauses them anew."""
    with audit.recorded("resume calls") as done:
        done["was_paused"] = was_paused = manual_hold.release()
    if json:
        as_json({"paused": False, "was_paused": was_paused})
    else:
        say("resumed" if was_paused else "nothing was paused")


def examine() -> tuple[dict[str, Any], list[str]]:
    """What the portal says of itself, and what of that is in the way.

    Raises:
        BadConfiguration: there is no webhook, or it is none.
        QueueDown, redis.RedisError: Redis can't be reached.
    """
    chosen = settings()
    told: dict[str, Any] = {
        "requests_per_s": chosen.rate_per_s,
        "requests_at_once": chosen.burst,
        "operating_limit_s": chosen.operating_limit_s,
        "originator_id": chosen.originator_id or "the installation's own: leadline doctor",
    }
    try:
        # Also while it is paused: whoever repaired the webhook wants to know at once.
        portal_session.check_service()
        pause = portal_session.circuit_breaker().state()
        if pause is not None and pause.is_held:
            return {"alive": True, **told}, [HELD]
        answers = throttled_reads.read_each(_QUESTIONS)
    except BitrixError as error:
        is_simple = error.code == crm_mode.SIMPLE_MODE
        return {"alive": is_simple, **told}, [error.detail]
    told = {"alive": True, **told, **_facts(answers)}
    return told, _trouble(told, answers)


def _facts(answers: dict[str, CommandResult]) -> dict[str, Any]:
    rights, mode, user = answers["rights"], answers["mode"], answers["user"]
    stages = answers["stages"]
    return {
        "rights": sorted(map(str, rights)) if isinstance(rights, list) else None,
        "administrator": user.get("ADMIN") if isinstance(user, dict) else None,
        "crm_mode": _MODES.get(mode) if isinstance(mode, int) else None,
        "stages": None if isinstance(stages, BitrixError) else lead_answers.parse_stage_ids(stages),
    }


def _trouble(told: dict[str, Any], answers: dict[str, CommandResult]) -> list[str]:
    found = [
        f"{name}: {answer.detail}"
        for name, answer in answers.items()
        # A webhook may be refused what it does not need to know.
        if isinstance(answer, BitrixError) and name in {"stages", "leads"}
    ]
    if told["rights"] is not None and "crm" not in told["rights"]:
        found.append("the webhook has no right `crm`: give it one in the portal")
    return found
