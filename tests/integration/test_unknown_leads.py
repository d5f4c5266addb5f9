"""An empty database whose leads are in the portal: no calls until `leadline restored`."""

from collections.abc import Callable

import pytest
import requests
import structlog

from leadline.bitrix24 import leads
from leadline.bitrix24.command import Command
from leadline.ledger import write
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.postgres import installation
from leadline.sync import portal_session
from leadline.sync.reconcile import unknown_leads
from leadline.sync.reconcile.originator import originator_id
from leadline.users.model import NewUser
from tests.integration.conftest import CommandOutput, rows

Leadline = Callable[..., CommandOutput]

OURS = "acme"
ANN = NewUser(full_name="Ann", phone="+77001112233", stage="NEW")


@pytest.fixture(autouse=True)
def connected(
    in_postgres: str, in_redis: str, webhook_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_postgres
    assert in_redis
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    monkeypatch.setattr(unknown_leads, "_checks", Interval(0))


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator has configured the originator of the leads."""
    monkeypatch.setenv("LEADLINE_ORIGINATOR_ID", OURS)


def create_lead(origin: object, originator: str = OURS) -> None:
    fields = {"ORIGINATOR_ID": originator, "ORIGIN_ID": str(origin), "TITLE": "Ann"}
    command = Command("crm.lead.add", {"fields": fields})
    portal_session.portal_client().call({"one": command})


def hold_reason() -> str | None:
    pause = portal_session.circuit_breaker().restore_and_read()
    return pause.reason if pause and pause.is_manual_hold else None


@pytest.mark.usefixtures("ours")
def test_an_empty_database_with_existing_leads_of_its_origin_makes_no_calls() -> None:
    create_lead(5)
    with structlog.testing.capture_logs() as logs:
        unknown_leads.run()
    assert "leadline restored" in (hold_reason() or "")
    assert OURS in (hold_reason() or "")
    assert [line["event"] for line in logs if line["log_level"] == "error"]
    portal_session.circuit_breaker().resume()
    unknown_leads.run()
    assert hold_reason(), "resume alone is not enough: the next check would hold again"


@pytest.mark.usefixtures("ours")
def test_restored_keeps_the_leads_and_new_users_get_ids_of_their_own(
    leadline: Leadline,
) -> None:
    for origin in (5, 2_000_012, 7):
        create_lead(origin)
    # Neither a text nor a number that no id reaches counts.
    for no_id in ("u-7", 10**19, 2**63 - 1):
        create_lead(no_id)
    create_lead(9_000_000, "another")
    before = installation.stored().history
    unknown_leads.run()
    output = leadline("restored", "--yes", "--json")
    assert (output.code, output.json["calls_resumed"]) == (0, True)
    assert output.json["greatest_id_on_a_lead"] == 2_000_012
    assert hold_reason() is None
    unknown_leads.run()
    assert hold_reason() is None
    assert installation.stored().history > before
    assert 2_000_012 < write.create(ANN, key=None).event.user.id < 9_000_000


@pytest.mark.usefixtures("ours")
def test_restored_reads_any_number_of_leads(leadline: Leadline) -> None:
    for first in range(1, 601, 50):
        lead_ids = range(first, first + 50)
        state = leads.DesiredState("Ann", "+77001112233", "NEW")
        portal_session.portal_client().call(
            {f"u{n}": leads.create(3_000_600 - n, state, OURS) for n in lead_ids}
        )
    assert leadline("restored", "--yes", "--json").json["greatest_id_on_a_lead"] == 3_000_599


@pytest.mark.usefixtures("ours")
def test_an_operators_own_hold_is_left_in_place(leadline: Leadline) -> None:
    portal_session.circuit_breaker().hold("maintenance")
    create_lead(5)
    unknown_leads.run()
    output = leadline("restored", "--yes", "--json")
    assert (output.code, output.json["calls_resumed"]) == (0, False)
    assert hold_reason() == "maintenance"


@pytest.mark.usefixtures("ours")
def test_restored_names_the_server_that_is_down_and_can_be_repeated(
    leadline: Leadline, monkeypatch: pytest.MonkeyPatch, webhook_url: str
) -> None:
    create_lead(5)
    unknown_leads.run()
    monkeypatch.setattr("leadline.sync.reconcile.throttled_reads.RETRY_DELAYS_S", ())
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", "http://127.0.0.1:1/rest/1/geheim/")
    output = leadline("restored", "--yes")
    assert output.code == 3
    assert "geheim" not in output.err
    assert hold_reason()
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    assert leadline("restored", "--yes").code == 0
    assert hold_reason() is None


@pytest.mark.usefixtures("ours")
def test_leads_of_existing_users_pause_nothing_and_are_checked_once(portal: str) -> None:
    event = write.create(ANN, key=None).event
    create_lead(event.user.id)
    create_lead("")
    unknown_leads.run()
    assert hold_reason() is None
    assert installation.stored().is_portal_checked
    calls = requests.get(f"{portal}/_emulator/calls", timeout=60).json()["requests"]
    create_lead(77)  # as when a person copies a lead later
    unknown_leads.run()
    assert hold_reason() is None
    assert requests.get(f"{portal}/_emulator/calls", timeout=60).json()["requests"] == calls + 1


def test_an_installation_without_a_configured_originator_has_its_own() -> None:
    """A second installation at the same portal then neither adopts leads nor is held."""
    create_lead(1, "leadline")
    create_lead(2, "leadline-0badcafe")
    unknown_leads.run()
    assert hold_reason() is None
    assert installation.stored().is_portal_checked
    assert originator_id() not in {"leadline", "leadline-0badcafe"}


@pytest.mark.usefixtures("ours")
def test_an_unreadable_portal_is_checked_later(
    monkeypatch: pytest.MonkeyPatch, webhook_url: str
) -> None:
    create_lead(5)
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", "http://127.0.0.1:1/rest/1/x/")
    unknown_leads.run()
    assert hold_reason() is None
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", webhook_url)
    unknown_leads.run()
    assert hold_reason()


def test_doctor_and_status_show_originator_and_history(leadline: Leadline) -> None:
    stored = installation.stored()
    checks = {check["name"]: check for check in leadline("doctor", "--json").json["checks"]}
    assert checks["originator"]["told"] == stored.originator_id
    assert str(stored.history) in checks["history"]["told"]
    assert "compared" not in checks["history"]["told"]
    write.create(ANN, key=None)
    installation.begin_history(lost=stored.history)
    checks = {check["name"]: check for check in leadline("doctor", "--json").json["checks"]}
    assert "users up to 0 of 1" in checks["history"]["told"]
    history_block = leadline("status", "--json").json["history"]
    assert (history_block["originator_id"], history_block["sweeping"]) == (
        stored.originator_id,
        True,
    )
    assert rows("SELECT count(*) AS count FROM installation") == [{"count": 1}]
