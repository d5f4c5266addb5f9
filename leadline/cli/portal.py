"""`leadline portal`: check the portal, pause calls and resume them."""

from typing import Annotated, Any

import typer

from leadline.bitrix24 import crm_mode, lead_parsing, leads
from leadline.bitrix24.client import CommandResult
from leadline.bitrix24.command import Command
from leadline.cli.output import FINDINGS, Json, print_facts, print_json, print_line
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.errors import BitrixError
from leadline.operations import audit, manual_hold
from leadline.settings import settings
from leadline.sync import portal_session
from leadline.sync.reconcile import throttled_reads

#: The CRM's modes as crm.settings.mode.get returns them.
_MODES = {1: "classic", crm_mode.SIMPLE: "simple"}

PAUSED_BY_OPERATOR = "an operator has paused all calls: leadline portal resume"

app = typer.Typer(no_args_is_help=True, help="The portal: check it, pause and resume calls.")


@app.callback()
def portal() -> None:
    """The portal: check it, pause and resume calls."""


@app.command()
def check(*, json: Json = False) -> None:
    """Check the webhook: whether it works, its scopes, stages and CRM mode.

    Exit code 1: the lines `trouble` list what prevents Leadline from working.

    Examples:
        leadline portal check
        leadline portal check --json
    """
    report, problems = probe()
    if json:
        print_json({**report, "trouble": problems})
    else:
        facts = [
            (name, ", ".join(value) if isinstance(value, list) else value)
            for name, value in report.items()
        ]
        print_facts([*facts, *(("trouble", text) for text in problems)])
    if problems:
        raise typer.Exit(FINDINGS)


@app.command()
def pause(
    *,
    reason: Annotated[str, typer.Option(help="The reason; status and console show it.")] = "",
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Pause calls to Bitrix24 until `resume`. Calls in flight finish; writes are accepted.

    It asks first: no lead changes until somebody resumes.

    Examples:
        leadline portal pause --reason "leads are being imported by hand"
        leadline portal pause --yes
    """
    confirm("Pause all calls to Bitrix24 until `portal resume`?", yes=yes)
    with audit.recorded("pause calls", reason=reason):
        manual_hold.hold(reason)
    if json:
        print_json({"paused": True})
    else:
        print_line("paused: no calls are made until `portal resume`")


@app.command()
def resume(*, json: Json = False) -> None:
    """Resume calls, whatever paused them. A portal that still fails pauses them again.

    Examples:
        leadline portal resume
    """
    with audit.recorded("resume calls") as record:
        was_paused = manual_hold.resume()
        record["was_paused"] = was_paused
    if json:
        print_json({"paused": False, "was_paused": was_paused})
    else:
        print_line("resumed" if was_paused else "nothing was paused")


def probe() -> tuple[dict[str, Any], list[str]]:
    """Probe the portal; returns a report and the problems found.

    A successful probe closes the circuit breaker: calls resume, unless an operator paused them.

    Raises:
        BadConfiguration: there is no webhook, or it is not a webhook URL.
        QueueDown: Redis can't be reached.
    """
    current = settings()
    report: dict[str, Any] = {
        "requests_per_s": current.rate_per_s,
        "requests_at_once": current.burst,
        "operating_limit_s": current.operating_limit_s,
        "originator_id": current.originator_id or "the installation's own: leadline doctor",
    }
    try:
        # Even while calls are paused: after fixing the webhook, an operator checks it at once.
        portal_session.probe_or_raise()
        pause = portal_session.circuit_breaker().restore_and_read()
        if pause is not None and pause.is_manual_hold:
            return {"alive": True, **report}, [PAUSED_BY_OPERATOR]
        answers = throttled_reads.read_each(_probes())
    except BitrixError as error:
        # A portal in simple CRM mode accepts calls, but keeps no leads.
        is_alive = error.code == crm_mode.SIMPLE_MODE
        return {"alive": is_alive, **report}, [error.detail]
    report = {"alive": True, **report, **_facts(answers)}
    return report, _problems(report, answers)


def _probes() -> dict[str, Command]:
    """The commands whose answers make the report; built late, as `leads` reads the field map."""
    return {
        "rights": Command("scope", {}),
        "mode": crm_mode.COMMAND,
        "stages": leads.list_stages(),
        "user": Command("profile", {}),
        "leads": leads.list_after("0", "-"),  # of an originator that no lead has
    }


def _facts(answers: dict[str, CommandResult]) -> dict[str, Any]:
    rights, mode, user = answers["rights"], answers["mode"], answers["user"]
    stages = answers["stages"]
    return {
        "rights": sorted(map(str, rights)) if isinstance(rights, list) else None,
        "administrator": user.get("ADMIN") if isinstance(user, dict) else None,
        "crm_mode": _MODES.get(mode) if isinstance(mode, int) else None,
        "stages": None if isinstance(stages, BitrixError) else lead_parsing.parse_stage_ids(stages),
    }


def _problems(report: dict[str, Any], answers: dict[str, CommandResult]) -> list[str]:
    problems = [
        f"{name}: {answer.detail}"
        for name, answer in answers.items()
        # A webhook may lack scopes that Leadline does not need.
        if isinstance(answer, BitrixError) and name in {"stages", "leads"}
    ]
    if report["rights"] is not None and "crm" not in report["rights"]:
        problems.append("the webhook has no scope `crm`: add it in the portal")
    return problems
