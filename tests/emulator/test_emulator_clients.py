"""Real Bitrix24 clients work with the emulator unmodified."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from b24pysdk import BitrixWebhook, Client
from b24pysdk.errors import BitrixAPIError
from fast_bitrix24 import Bitrix

from tests.emulator.emulator_process import Emulator


@pytest.fixture
def b24(
    emulator_over_tls: tuple[Emulator, Path], monkeypatch: pytest.MonkeyPatch
) -> tuple[Emulator, Any]:
    emulator, cert = emulator_over_tls
    emulator.control("POST", "reset")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    domain = emulator.base.removeprefix("https://").replace("127.0.0.1", "localhost")
    token = BitrixWebhook(domain=domain, webhook_token="1/local-webhook-code")  # noqa: S106 - of a test
    return emulator, Client(token)


def test_b24pysdk_creates_updates_lists_and_deletes_leads(b24: tuple[Emulator, Any]) -> None:
    emulator, client = b24
    lead_id = client.crm.lead.add(fields={"NAME": "Gleb", "PHONE": [{"VALUE": "+7700"}]}).result
    assert lead_id == 1
    assert client.crm.lead.update(bitrix_id=1, fields={"STATUS_ID": "JUNK"}).result is True
    assert client.crm.lead.get(bitrix_id=1).result["STATUS_ID"] == "JUNK"
    assert [lead["ID"] for lead in client.crm.lead.list().result] == ["1"]
    assert client.crm.lead.delete(bitrix_id=1).result is True
    assert emulator.leads() == []


def test_b24pysdk_batches(b24: tuple[Emulator, Any]) -> None:
    """The client sends 120 commands in three requests."""
    emulator, client = b24
    requests = {f"k{n}": client.crm.lead.add(fields={"NAME": f"Name {n} & Co"}) for n in range(120)}
    result = client.call_batches(requests).result
    assert sorted(result.result.values()) == list(range(1, 121))
    assert emulator.calls()["methods"] == {"batch": 3, "crm.lead.add": 120}
    assert emulator.leads()[7]["NAME"] == "Name 7 & Co"
    assert len(list(client.crm.lead.list().as_list().result)) == 120


def test_b24pysdk_is_refused_as_by_the_real_portal(b24: tuple[Emulator, Any]) -> None:
    emulator, client = b24
    with pytest.raises(BitrixAPIError):
        _ = client.crm.lead.get(bitrix_id=9).result
    emulator.set(mode="revoked")
    with pytest.raises(BitrixAPIError):
        _ = client.crm.lead.list().result


@pytest.fixture
def fast(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bitrix]:
    # The client logs all that it sends, and an earlier test may have redirected logs of libraries
    # to stdout.
    monkeypatch.setattr(logging.getLogger("fast_bitrix24"), "disabled", True)
    with asyncio.Runner() as runner:
        # The client takes the thread's loop; without one it makes a loop that it never closes.
        asyncio.set_event_loop(runner.get_loop())
        yield Bitrix(emulator.webhook, verbose=False)


def test_fast_bitrix24_creates_updates_and_lists_leads(emulator: Emulator, fast: Bitrix) -> None:
    """120 leads, of which `get_all` needs three pages."""
    items = [{"fields": {"NAME": f"Имя {n}", "PHONE": [{"VALUE": f"+{n}"}]}} for n in range(120)]
    assert len(fast.call("crm.lead.add", items)) == 120
    assert fast.call("crm.lead.update", {"ID": 5, "fields": {"STATUS_ID": "JUNK"}}) is True
    found = fast.get_all(
        "crm.lead.list", {"select": ["ID", "NAME"], "filter": {"!STATUS_ID": "JUNK"}}
    )
    assert len(found) == 119
    by_id = fast.get_by_ID("crm.lead.get", ["7", "8"])
    assert {lead["ID"] for lead in by_id.values()} == {"7", "8"}
    assert emulator.calls()["refused"] == 0
    assert emulator.control("GET", "phones") == {"1": 120}


def test_fast_bitrix24_duplicates_leads_after_a_lost_answer(
    emulator: Emulator, fast: Bitrix
) -> None:
    """As with the real portal, a lost answer makes a naive client repeat a whole batch."""
    emulator.fault("batch", "drop_after", count=1)
    fast.call("crm.lead.add", [{"fields": {"ORIGIN_ID": n}} for n in range(50)])
    assert len(emulator.leads()) == 100
    assert len(emulator.control("GET", "duplicates")) == 50
