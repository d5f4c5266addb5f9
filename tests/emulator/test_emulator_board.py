"""The board: the files that it serves, and that a person can watch and move leads on it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.emulator.browser import CHROMIUM, Chromium, Window
from tests.emulator.emulator_process import Emulator

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/board/main.js", "text/javascript"),
        ("/board/board.css", "text/css"),
        ("/board/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_loads_nothing_from_other_sites(emulator: Emulator, path: str, kind: str) -> None:
    response = emulator.session.get(emulator.base + path, timeout=60)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith(kind)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "http" not in response.text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", ["live.py", "..%2Flive.py", "page", "%2Fetc%2Fpasswd", "x.js"])
def test_no_other_file_is_served(emulator: Emulator, name: str) -> None:
    assert emulator.session.get(f"{emulator.base}/board/{name}", timeout=60).status_code == 404


def test_the_stream_reports_writes_and_statistics(emulator: Emulator) -> None:
    url = emulator.base + "/_emulator/stream"
    with emulator.session.get(url, stream=True, timeout=60) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines) == "event: tick"
        statistics = json.loads(next(lines).removeprefix("data: "))
        assert statistics["limits"]["standard"] == {"per_s": 2, "burst": 50}
        emulator.add(TITLE="Gleb")
        while next(lines) != "event: write":
            pass
        card = json.loads(next(lines).removeprefix("data: "))
        assert (card["type"], card["id"], card["title"], card["stage"]) == (1, 1, "Gleb", "NEW")


def test_the_snapshot_contains_the_newest_cards_of_each_stage(emulator: Emulator) -> None:
    for _ in range(2):
        emulator.batch({f"c{number}": "crm.lead.add" for number in range(50)})
    emulator.add(STATUS_ID="SOMETHING_ELSE")
    board = emulator.control("GET", "board")
    assert board["counts"] == {"NEW": 100, "SOMETHING_ELSE": 1}
    newest_60_and_the_other = list(range(41, 102))
    assert sorted(card["id"] for card in board["cards"]) == newest_60_and_the_other


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def page(emulator: Emulator, chromium: Chromium) -> Iterator[tuple[Emulator, Window]]:
    with chromium.window() as browser:
        browser.open(emulator.base + "/")
        browser.wait_for("document.querySelectorAll('.column').length === 6")
        yield emulator, browser
        assert browser.problems == []


def center(browser: Window, selector: str) -> Any:
    """The coordinates of the middle of an element, once there is one."""
    box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
    return browser.wait_for(
        f"document.querySelector({json.dumps(selector)}) && (() => {{ const b = {box};"
        " return [b.x + b.width / 2, b.y + b.height / 2] })()"
    )


@needs_chromium
def test_a_person_watches_and_moves_leads(page: tuple[Emulator, Window]) -> None:
    emulator, browser = page
    emulator.add(TITLE="<img src=x onerror=alert(1)>", PHONE=[{"VALUE": "+7700"}])
    card = browser.wait_for("document.querySelector('.card')?.innerText")
    assert "<img src=x onerror=alert(1)>" in card
    assert "+7700" in card

    start, end = center(browser, ".card"), center(browser, "[data-stage=JUNK] .cards")
    browser.mouse("Pressed", *start)
    browser.mouse("Moved", start[0] + 20, start[1] + 5)
    browser.mouse("Moved", *end)
    browser.mouse("Released", *end)
    browser.wait_for("document.querySelector('[data-stage=JUNK] .card')")
    assert emulator.get(1)["STATUS_ID"] == "JUNK"
    assert emulator.leads()[0]["history"][-1]["method"] == "user"

    browser.mouse("Pressed", *center(browser, ".card"))
    browser.mouse("Released", *center(browser, ".card"))
    assert "crm.lead.add" in browser.wait_for("document.getElementById('lead-history').innerText")
    browser.eval("document.querySelector('#lead-stages button').click()")
    browser.wait_for("document.querySelector('[data-stage=NEW] .card')")
    emulator.result("crm.lead.delete", {"id": 1})
    browser.wait_for("!document.querySelector('.card')")


@needs_chromium
def test_the_address_of_a_lead_in_bitrix24_opens_it_on_the_board(
    page: tuple[Emulator, Window],
) -> None:
    emulator, browser = page
    emulator.add(TITLE="Gleb")
    answer = emulator.session.get(f"{emulator.base}/crm/lead/details/1/", timeout=60)
    assert answer.url == f"{emulator.base}/#lead-1"
    browser.open(f"{emulator.base}/crm/lead/details/1/")
    browser.wait_for("document.getElementById('lead-title').innerText.includes('Gleb')")


@needs_chromium
def test_the_board_can_be_switched_to_russian(page: tuple[Emulator, Window]) -> None:
    _, browser = page
    browser.eval("document.querySelector('[data-language=ru]').click()")
    browser.wait_for("document.querySelector('.column h2')?.innerText === 'Не обработан'")
    assert browser.eval("document.documentElement.lang") == "ru"
    missing = browser.eval(
        "[...document.querySelectorAll('[data-text], .faults button')]"
        ".map((node) => node.textContent).filter((text) => /[a-z]{4}/i.test(text))"
    )
    assert missing == []
    browser.eval("document.querySelector('[data-language=en]').click()")
    browser.wait_for("document.querySelector('.column h2')?.innerText === 'Not processed'")


@needs_chromium
def test_arrow_keys_move_a_card_and_keep_the_focus(page: tuple[Emulator, Window]) -> None:
    emulator, browser = page
    emulator.add()
    browser.wait_for("document.querySelector('.card')")
    browser.eval("document.querySelector('.card').focus()")
    for stage in ("IN_PROCESS", "PROCESSED"):
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
        browser.wait_for(f"document.activeElement.dataset.stage === '{stage}'")
    assert emulator.get(1)["STATUS_ID"] == "PROCESSED"


@needs_chromium
def test_buttons_add_and_clear_faults(page: tuple[Emulator, Window]) -> None:
    emulator, browser = page

    def click(name: str) -> None:
        browser.eval(
            "[...document.querySelectorAll('.faults button')]"
            f".find((button) => button.textContent === {json.dumps(name)}).click()"
        )

    click("500 to everything")
    browser.wait_for("document.getElementById('active').innerText.includes('error on all calls')")
    assert emulator.post("profile").status_code == 500
    click("Webhook revoked")
    browser.wait_for("document.querySelector('#faults [aria-pressed=true]')")
    assert emulator.post("profile").status_code == 401
    click("Clear all faults")
    browser.wait_for("!document.querySelector('#faults [aria-pressed=true]')")
    assert emulator.post("profile").status_code == 200
    browser.wait_for("document.getElementById('requests').innerText === '3'")


def test_each_type_has_a_board(emulator: Emulator) -> None:
    emulator.result("crm.deal.add", {"fields": {"TITLE": "D"}})
    emulator.result("crm.contact.add", {"fields": {"NAME": "Klaus", "LAST_NAME": "Weber"}})
    deals = emulator.control("GET", "board?type=2")
    assert deals["stages"][0]["status"] == "NEW"
    assert (deals["cards"][0]["title"], deals["counts"]) == ("D", {"NEW": 1})
    contacts = emulator.control("GET", "board?type=3")
    assert (contacts["cards"][0]["name"], contacts["counts"]) == ("Klaus Weber", {"": 1})
    assert (
        emulator.session.get(emulator.base + "/_emulator/board?type=9", timeout=60).status_code
        == 404
    )


@needs_chromium
def test_a_person_edits_and_deletes_a_card(page: tuple[Emulator, Window]) -> None:
    emulator, browser = page
    emulator.add(TITLE="Gleb", NAME="Gleb", PHONE=[{"VALUE": "+7700"}])
    browser.wait_for("document.querySelector('.card')")
    browser.mouse("Pressed", *center(browser, ".card"))
    browser.mouse("Released", *center(browser, ".card"))
    browser.wait_for("document.querySelector('#lead-fields [name=PHONE-1]')")
    browser.eval("document.querySelector('#lead-fields [name=LAST_NAME]').value = 'Titov'")
    browser.eval("document.querySelector('#lead-fields [name=PHONE-1]').value = '+7701'")
    browser.eval("document.querySelector('#lead-fields [name=\"PHONE-\"]').value = '8'")
    browser.eval("document.querySelector('#lead-form [type=submit]').click()")
    browser.wait_for("document.querySelector('.card').innerText.includes('+7701')")
    lead = emulator.get(1)
    assert (lead["LAST_NAME"], [row["VALUE"] for row in lead["PHONE"]]) == ("Titov", ["+7701", "8"])
    assert [change["method"] for change in emulator.leads()[0]["history"]] == [
        "crm.lead.add",
        "user",
    ]
    browser.eval("window.confirm = () => true")
    browser.mouse("Pressed", *center(browser, ".card"))
    browser.mouse("Released", *center(browser, ".card"))
    browser.wait_for("document.getElementById('lead').open")
    browser.eval("document.getElementById('lead-delete').click()")
    browser.wait_for("!document.querySelector('.card')")
    assert emulator.leads() == []
    assert len(emulator.control("GET", "bin")) == 1


@needs_chromium
def test_deals_and_contacts_are_shown_live(page: tuple[Emulator, Window]) -> None:
    emulator, browser = page
    browser.eval("document.querySelector('[data-type=\"2\"]').click()")
    browser.wait_for("document.querySelectorAll('.column').length === 8")
    emulator.result("crm.deal.add", {"fields": {"TITLE": "Big deal"}})
    emulator.add(TITLE="A lead")
    assert "Big deal" in browser.wait_for("document.querySelector('.card')?.innerText")
    browser.eval("document.querySelector('.card').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight")
    browser.wait_for("document.querySelector('[data-stage=PREPARATION] .card')")
    assert browser.eval("document.querySelectorAll('.card').length") == 1
    browser.eval("document.querySelector('[data-type=\"3\"]').click()")
    browser.wait_for("document.querySelectorAll('.column').length === 1")
    emulator.result("crm.contact.add", {"fields": {"NAME": "Klaus", "LAST_NAME": "Weber"}})
    assert "Klaus Weber" in browser.wait_for("document.querySelector('.card')?.innerText")


@needs_chromium
def test_robots_are_switched_on_and_off(page: tuple[Emulator, Window]) -> None:
    emulator, browser = page
    browser.wait_for("document.getElementById('robots')?.ariaPressed === 'false'")
    browser.eval("document.getElementById('robots').click()")
    browser.wait_for("document.getElementById('robots').ariaPressed === 'true'")
    assert emulator.get(emulator.add())["COMMENTS"] == "Robot"
    browser.eval("document.getElementById('robots').click()")
    browser.wait_for("document.getElementById('robots').ariaPressed === 'false'")
    assert emulator.get(emulator.add())["COMMENTS"] is None
