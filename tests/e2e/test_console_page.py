"""The console in a headless Chromium as a person sees it, and the accessibility of all pages."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.faults import portal, wire
from tests.servers import eventually
from tests.system import CHECKOUT, System

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here, and scripts/browser found none that apt could install"
)
LOOKING, OPERATING = "looking-with-128-bits-of-key", "mending-with-128-bits-of-key"
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with this file: while it runs, no other test could have an event loop."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(autouse=True)
def _portal_in_order(system: System) -> Iterator[None]:
    with portal.in_order(system):
        yield
        order = {"X-Leadline-Console": "1"}
        system.request("POST", "/console/api/resume", json={}, headers=order).raise_for_status()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """The console in its own window; any error in it fails the test."""
    context = browser.new_context(**{"locale": "en-US", **options})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    assert problems == []


def is_accessible(page: Page) -> bool:
    """Whether axe finds nothing serious; findings are printed."""
    found = Axe().run(page)
    serious = [one for one in found.response["violations"] if one["impact"] in SERIOUS]
    sys.stdout.write("".join(f"{one['id']}: {one['help']}\n" for one in serious))
    return not serious


def rejected(system: System, name: str) -> int:
    portal.breaks(
        system, "error", "crm.item.add", status=400, code="ERROR_CORE", description="Нет поля"
    )
    user_id = int(system.create(name)["id"])
    eventually(lambda: system.user(user_id)["sync"]["status"] == "failed", 20, "it has failed")
    return user_id


def test_a_person_sees_why_a_user_is_not_in_bitrix24_and_fixes_it(
    system: System, browser: Browser
) -> None:
    user_id = rejected(system, "Кого Не Видно")
    with opened(browser, f"{system.url('edge')}/console") as page:
        expect(page.locator("#live")).to_have_class("pill good")  # figures no longer move it
        page.get_by_label("Id, phone, lead id, or beginning of the name").fill("кого не")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("button", name=f"Open user {user_id}", exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("Why this user is not in Bitrix24")
        expect(dialog).to_contain_text("Нет поля")
        expect(dialog.get_by_role("listitem")).to_have_count(5)  # a confirm is recorded later
        steps = dialog.get_by_role("listitem").all_inner_texts()
        assert [step.split("\t")[0].split(" ")[0] for step in steps] == [
            *("Accepted", "Confirmed", "Received", "Attempt", "Replied:")
        ]
        assert is_accessible(page)
        portal.clear_faults(system)
        dialog.get_by_role("button", name="Retry").click()
        expect(dialog).to_contain_text("In sync with Bitrix24", timeout=15_000)
    assert system.user(user_id)["sync"]["status"] == "synced"


def test_calls_are_paused_and_resumed_with_the_keyboard_alone(
    system: System, browser: Browser
) -> None:
    with opened(browser, f"{system.url('edge')}/console") as page:
        page.get_by_role("button", name="Pause").focus()
        page.keyboard.press("Enter")
        page.keyboard.type("so it shall be")
        page.keyboard.press("Enter")
        expect(page.locator("#portal-state")).to_contain_text("so it shall be")
        expect(page.get_by_role("button", name="Resume now")).to_be_focused()
        assert is_accessible(page)
        page.keyboard.press("Enter")
        expect(page.locator("#portal-state")).to_have_text("Running.")
    eventually(system.is_well, 10, "all is well again")


def test_a_dead_letter_is_read_and_discarded(system: System, browser: Browser) -> None:
    with wire.wire_to(system) as plugged:
        plugged.publish({"pattern": "user_created", "data": "<img src=x onerror=alert(1)>"})
        dead = "/console/api/dead-letters"
        eventually(lambda: system.request("GET", dead).json()["items"], 20, "it is a dead letter")
    with opened(browser, f"{system.url('edge')}/console") as page:
        section = page.locator("section", has=page.get_by_role("heading", name="Dead letters"))
        section.get_by_role("button", name="Show").click()
        page.get_by_role("button", name="Read").first.click()
        expect(page.get_by_role("dialog")).to_contain_text("<img src=x onerror=alert(1)>")
        assert is_accessible(page)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Discard").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Discard").click()
        expect(page.get_by_text("There are none.")).to_be_visible()
    assert system.request("GET", dead).json()["items"] == []


def test_the_page_shows_the_audit_trail(system: System, browser: Browser) -> None:
    user = system.create("Чья Запись")
    order = {"X-Leadline-Console": "1"}
    system.request("POST", "/console/api/pause", json={"reason": "why not"}, headers=order)
    with opened(browser, f"{system.url('edge')}/console") as page:
        trail = page.locator("section", has=page.get_by_role("heading", name="Audit trail"))
        trail.get_by_role("button", name="Show").click()
        first = trail.get_by_role("listitem").first
        expect(first).to_contain_text("pause calls")
        expect(first).to_contain_text("no name")  # this system needs no keys
        expect(first).to_contain_text("why not")
        trail.get_by_label("without writes").uncheck()
        trail.get_by_role("button", name="Show").click()
        expect(trail.get_by_role("list")).to_contain_text(f"created · User {user['id']}")
        assert is_accessible(page)


def test_millions_fit_into_the_layout(system: System, browser: Browser) -> None:
    for width in (360, 700, 1280):
        size = {"width": width, "height": 740}
        with opened(browser, f"{system.url('edge')}/console", viewport=size) as page:
            figure = page.locator("#figure-synced")
            expect(figure).not_to_have_text("–")
            figure.evaluate("one => { one.textContent = '9,999,999'; }")
            assert figure.evaluate("one => one.scrollWidth <= one.clientWidth"), width


@pytest.mark.slow("a browser loads the page and axe checks it in each state")
def test_the_api_page_is_accessible(system: System, browser: Browser) -> None:
    with opened(browser, f"{system.url('edge')}/docs") as page:
        operations = page.locator(".opblock-summary-control")
        expect(operations.first).to_be_visible()
        assert is_accessible(page)
        operations.first.click()
        page.get_by_role("button", name="Try it out").click()
        expect(page.get_by_role("combobox", name="sync")).to_be_visible()
        assert is_accessible(page)
        page.get_by_role("button", name="Execute").click()
        expect(page.get_by_text("Server response")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_emulators_board_is_accessible(system: System, browser: Browser, scheme: str) -> None:
    with opened(browser, system.url("bitrix24"), color_scheme=scheme) as page:
        expect(page.get_by_role("heading").first).to_be_visible()
        assert is_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it_in_the_readers_language(
    system: System, browser: Browser, scheme: str
) -> None:
    phone = {"width": 360, "height": 740}
    options = {"viewport": phone, "color_scheme": scheme, "reduced_motion": "reduce"}
    with opened(browser, f"{system.url('edge')}/console", locale="ru-RU", **options) as page:
        expect(page.locator("#portal-state")).to_have_text("Идут.")
        expect(page.locator("#figure-synced")).not_to_have_text("–")
        assert page.evaluate("document.documentElement.scrollWidth") == phone["width"]
        assert is_accessible(page)
        page.get_by_role("button", name="English").click()
        expect(page.locator("#portal-state")).to_have_text("Running.")
        page.reload()
        expect(page.locator("#portal-state")).to_have_text("Running.")


def test_with_keys_the_page_asks_for_one_and_keeps_it_in_its_tab(
    browser: Browser,
) -> None:
    with (
        console_with_keys(f"read:{LOOKING} operate,read:{OPERATING}") as url,
        opened_with_refusals(browser, url) as page,
    ):
        for key, shown_text in (("wrong", "This key is invalid."), (LOOKING, "live")):
            page.get_by_role("textbox", name="Key").fill(key)
            page.keyboard.press("Enter")
            expect(page.get_by_text(shown_text, exact=True).first).to_be_visible()
        assert page.evaluate("localStorage.length") == 0
        page.reload()
        expect(page.locator("#live")).to_have_text("live")
        page.get_by_role("button", name="Retry all failed").click()
        page.get_by_role("dialog").get_by_role("button", name="Retry all failed").click()
        expect(page.locator("#toast")).to_contain_text("operate")


@contextmanager
def opened_with_refusals(browser: Browser, url: str) -> Iterator[Page]:
    """The browser itself logs each refusal as an error; here they are expected."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


@contextmanager
def console_with_keys(keys: str) -> Iterator[str]:
    """The function alone, without any server behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    servers = ("DATABASE_URL", "AMQP_URL", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in servers}
    process = subprocess.Popen(
        [sys.executable, "-m", "leadline.runtime.serving.serve", "functions/console"],
        cwd=CHECKOUT,
        env={**environment, "PORT": str(port), "LEADLINE_AUTH": "on", "API_KEYS": keys},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _answers(url), 30, "the console serves")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_/health", timeout=5).ok
    except requests.ConnectionError:
        return False
