"""A cross-site page in the same browser reads nothing of the portal and writes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from emulator.telemetry.live_stream import SUBSCRIBERS_MAX
from tests.emulator.emulator_process import WEBHOOK, Emulator, start
from tests.servers import eventually

#: The headers of a browser that follows a link on another site.
LINK = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
]
#: The type of a body that a page may send to another site without asking it first.
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def status_of(emulator: Emulator, method: str, path: str, **headers: str) -> int:
    body = b"fields[TITLE]=forged" if method == "POST" else None
    url = emulator.base + path
    all_headers = {**FORM, **headers}
    return requests.request(method, url, headers=all_headers, data=body, timeout=60).status_code


@pytest.mark.parametrize("headers", [*CROSS_SITE, LINK])
def test_a_cross_site_page_creates_no_lead(emulator: Emulator, headers: dict[str, str]) -> None:
    """REST accepts forms, and a GET writes: an image or a link would suffice."""
    assert status_of(emulator, "POST", f"{WEBHOOK}crm.lead.add", **headers) == 403
    query = f"{WEBHOOK}crm.lead.add?fields[TITLE]=forged"
    for path in (query, query.replace("rest", "%72est")):
        assert status_of(emulator, "GET", path, **headers) == 403
    assert emulator.leads() == []


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_cross_site_page_can_neither_control_nor_read_the_emulator(
    emulator: Emulator, headers: dict[str, str]
) -> None:
    emulator.add(TITLE="kept")
    for method, path in (
        ("POST", "reset"),
        ("PUT", "settings"),
        ("POST", "faults"),
        ("PATCH", "leads/1"),
        ("GET", "leads"),
        ("GET", "board"),
        ("GET", "stream"),
    ):
        assert status_of(emulator, method, f"/_emulator/{path}", **headers) == 403, path
    assert [lead["TITLE"] for lead in emulator.leads()] == ["kept"]


def test_a_link_leads_to_the_board(emulator: Emulator) -> None:
    assert status_of(emulator, "GET", "/", **LINK) == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:3024", "bitrix24:3024"])
def test_a_foreign_host_name_is_refused(emulator: Emulator, host: str) -> None:
    for method, path in (
        ("GET", "/"),
        ("GET", "/_emulator/leads"),
        ("POST", "/_emulator/reset"),
        ("POST", f"{WEBHOOK}crm.lead.add"),
        ("GET", f"{WEBHOOK}crm.lead.list"),
    ):
        assert status_of(emulator, method, path, Host=host) == 421, path
    assert emulator.leads() == []


@pytest.fixture
def emulator_with_allowed_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Emulator]:
    monkeypatch.setenv("ALLOWED_HOSTS", "bitrix24")
    emulator = start(tmp_path / "state.sqlite3")
    yield emulator
    assert emulator.stop() == 0


def test_a_host_name_may_be_added(emulator_with_allowed_host: Emulator) -> None:
    assert (
        status_of(
            emulator_with_allowed_host, "POST", f"{WEBHOOK}crm.lead.add", Host="bitrix24:3024"
        )
        == 200
    )
    assert status_of(emulator_with_allowed_host, "GET", "/", Host="evil.example") == 421


def test_the_number_of_open_pages_is_limited(emulator: Emulator) -> None:
    url = f"{emulator.base}/_emulator/stream"

    def is_limited() -> bool:
        pages = [requests.get(url, stream=True, timeout=60) for _ in range(SUBSCRIBERS_MAX + 1)]
        for page in pages:
            page.close()
        return [page.status_code for page in pages] == [200] * SUBSCRIBERS_MAX + [503]

    # Pages that earlier tests have closed count until the emulator notices.
    eventually(is_limited, 60, "the number of pages is limited")
