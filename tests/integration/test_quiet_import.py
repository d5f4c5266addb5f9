"""Quiet backfill: leads are imported, each once; an import starts no robots in the portal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leadline.bitrix24.client import BatchResponse
from leadline.errors import OutcomeUnknown
from leadline.ledger import bulk_import
from leadline.ledger.bulk_import import Line
from leadline.sync import batch_call, portal_session
from tests.integration.conftest import CommandOutput, Control, rows
from tests.integration.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("connected")

Leadline = Callable[..., CommandOutput]
IMPORT = "crm.item.batchImport"


def import_quietly(number: int) -> None:
    """Import this many users as with --quiet."""
    users = [
        (f"line-{line}", Line(full_name=f"User {line}", phone=f"+7701{1_110_000 + line}"))
        for line in range(1, number + 1)
    ]
    assert bulk_import.create(users, quiet=True) == number


def origins(control: Control) -> list[int]:
    return sorted(int(lead["ORIGIN_ID"]) for lead in control("leads"))


def methods(control: Control) -> dict[str, int]:
    """Commands so far, by method in lower case."""
    return dict(control("calls")["methods"])


def test_quiet_users_are_imported_in_commands_of_twenty(
    control: Control, pipeline: Pipeline
) -> None:
    import_quietly(45)
    pipeline.settle()
    assert origins(control) == list(range(1, 46))
    assert methods(control)[IMPORT.lower()] == 3
    assert "crm.item.add" not in methods(control)
    found = rows("SELECT id, bitrix_lead_id FROM users")
    leads = {int(lead["ORIGIN_ID"]): lead for lead in control("leads")}
    assert all(str(row["bitrix_lead_id"]) == leads[row["id"]]["ID"] for row in found)
    assert {len(lead["PHONE"]) for lead in leads.values()} == {1}


def test_a_portal_without_imports_creates_the_leads_as_usual(
    control: Control, pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"method": IMPORT, "action": "error", "code": "ERROR_METHOD_NOT_FOUND", "status": 400}
    control("faults", "POST", [refusal])
    import_quietly(30)
    pipeline.settle()
    assert origins(control) == list(range(1, 31))
    assert methods(control)["crm.item.add"] == 30
    assert portal_session.quiet_import().is_refused()
    assert "the portal refuses quiet imports" in capsys.readouterr().out
    attempts = rows("SELECT DISTINCT attempts FROM events")
    assert attempts == [{"attempts": 1}], "a refusal is no attempt"


def test_a_lost_answer_imports_no_one_twice(
    control: Control, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = batch_call.BatchCall._send  # noqa: SLF001 - the answer is lost on its way back
    lost: list[BatchResponse] = []

    def lose_first_answer(self: Any, commands: Any) -> BatchResponse:
        answer = send(self, commands)
        if any(command.method == IMPORT for command in commands.values()) and not lost:
            lost.append(answer)
            error = OutcomeUnknown("lost", may_still_run=False)
            self._error = error
            return BatchResponse(dict.fromkeys(commands, error), {})
        return answer

    monkeypatch.setattr(batch_call.BatchCall, "_send", lose_first_answer)
    import_quietly(25)
    pipeline.settle()
    assert lost, "an answer was lost"
    assert origins(control) == list(range(1, 26))


def test_import_and_apply_accept_the_option_quiet(leadline: Leadline, tmp_path: Path) -> None:
    file = tmp_path / "users.csv"
    file.write_text("full_name,phone\nAnn,+77001112233\n", encoding="utf-8")
    assert leadline("import", file, "--quiet").code == 0
    leadline("portal", "pause", "--yes")
    leadline("plan")
    assert leadline("apply", "--quiet", "--yes").code == 0
    changed = rows("SELECT changed FROM events ORDER BY version")
    assert [row["changed"] for row in changed] == ["full_name,phone,stage,quiet", "look,quiet"]
