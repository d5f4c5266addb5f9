"""The console in a headless Chromium as a person sees it, and the accessibility of all pages."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from leadline.mapping import file, portal_fields
from leadline.mapping.portal_fields import PortalField
from leadline.sync import decide
from leadline.sync.duplicates import rules as duplicates
from leadline.sync.erasure import rules as erasure
from tests.e2e.test_console import CONSOLE_HEADER
from tests.emulator.browser import CHROMIUM, WITHOUT_ADDRESS_BAR
from tests.faults import amqp_client, portal
from tests.servers import eventually, free_port
from tests.system import CHECKOUT, System

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here, and scripts/browser found none that apt could install"
)
READ_KEY, OPERATE_KEY = "a-key-of-128-bits-that-only-reads", "a-key-of-128-bits-that-operates"
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for this file alone: while it runs, no other test could have an event loop."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", WITHOUT_ADDRESS_BAR]
        )
        expect.set_options(timeout=120_000)  # a page waits for several polls on a busy machine
        yield running
        running.close()


@pytest.fixture(autouse=True)
def _portal_in_order(system: System) -> Iterator[None]:
    with portal.in_order(system):
        yield
        answer = system.request("POST", "/console/api/resume", json={}, headers=CONSOLE_HEADER)
        answer.raise_for_status()


@contextmanager
def open_console(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """The console in its own window; any error in it fails the test."""
    context = browser.new_context(**{"locale": "en-US", **options})
    context.set_default_timeout(120_000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    assert problems == []


def is_accessible(page: Page) -> bool:
    """Whether axe finds nothing serious; findings are printed."""
    found = Axe().run(page)
    serious = [
        violation for violation in found.response["violations"] if violation["impact"] in SERIOUS
    ]
    sys.stdout.write("".join(f"{violation['id']}: {violation['help']}\n" for violation in serious))
    return not serious


def create_rejected_user(system: System, name: str, reason: str = "Нет поля") -> int:
    """A user whose lead the portal rejects, for this reason, until its faults are cleared."""
    portal.add_fault(
        system, "error", "crm.item.add", status=400, code="ERROR_CORE", description=reason
    )
    user_id = int(system.create(name)["id"])
    eventually(lambda: system.user(user_id)["sync"]["status"] == "failed", 120, "it has failed")
    return user_id


def test_a_person_sees_why_a_user_is_not_in_bitrix24_and_fixes_it(
    system: System, browser: Browser
) -> None:
    user_id = create_rejected_user(system, "Кого Не Видно")
    with open_console(browser, f"{system.url('edge')}/console") as page:
        # Once all figures are there, nothing moves the link that is clicked next.
        expect(page.locator("#live")).to_have_class("pill good")
        page.get_by_role("link", name="Users", exact=True).click()
        page.get_by_role("searchbox").fill("не вид")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name=f"Open user {user_id}", exact=True).click()
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
        dialog.get_by_role("button", name="Show what was sent").click()
        expect(dialog).to_contain_text("+7")
        assert not re.search(r"\b(null|undefined|NaN)\b", dialog.inner_text())
        dialog.get_by_role("button", name="Retry").click()
        expect(dialog).to_contain_text("In sync with Bitrix24")
        lead = dialog.get_by_role("link", name="in Bitrix24")
        lead_id = system.user(user_id)["sync"]["bitrix_lead_id"]
        expected = f"{system.url('bitrix24')}/crm/lead/details/{lead_id}/"
        expect(lead).to_have_attribute("href", expected)
        assert portal.WEBHOOK_CODE not in page.content()
    assert system.user(user_id)["sync"]["status"] == "synced"


#: What a reason of ours may quote, and what stays as it is in every language.
_WORDS = (
    "e-mail CRM default type one-of text number bool boolean integer file enumeration Title S M"
)
_QUOTED = re.compile(rf"`[^`]*`|\b(?:{_WORDS.replace(' ', '|')})\b")
_OUR_REASONS = (
    decide.VANISHED,
    f"lead 55 {decide.NOT_RECOGNISED}",
    "lead 55 belongs to another user",
    "lead 55 belongs to another installation",
    erasure.LEAD_OF_OTHER.format(55),
    erasure.STILL_THERE,
    *(
        text.format(detail, "55, 56")
        for text in (duplicates.SEVERAL_LEADS, duplicates.SEVERAL_CONTACTS)
        for detail in ("phone", "phone or e-mail")
    ),
)


def _misfits() -> list[str]:
    """Each way in which a field or a constant of a map may not fit a portal."""
    field = PortalField("X", "string", "Title")
    unfit = {
        "A": None,
        "B": replace(field, is_read_only=True),
        "C": replace(field, is_multiple=True),
        "D": replace(field, type="file"),
        "E": replace(field, type="enumeration"),
        "F": replace(field, type="boolean"),
        "G": replace(field, is_required=True),
        "H": replace(field, is_required=True),
        "I": replace(field, type="integer"),
    }
    portal_fields_ = {f"UF_CRM_{key}": found for key, found in unfit.items() if found}
    portal_fields_["UF_CRM_J"] = replace(
        field, type="enumeration", items={"1": "S", "2": "M"}, unknown_people=frozenset({"7"})
    )
    mapped = "".join(
        f'[fields.{key.lower()}]\ntype = "text"\nlead = "UF_CRM_{key}"\n'
        for key in unfit
        if key != "G"  # the portal requires this field, and the map leaves it out
    )
    map_ = file.parse(f"{mapped}[constants]\nUF_CRM_J = 7\n")
    return [misfit.problem for misfit in portal_fields.misfits(map_, portal_fields_)]


def test_every_reason_of_ours_is_shown_in_russian(system: System, browser: Browser) -> None:
    endpoint_errors = ["no answer within 5 s", "no connection within 3 s", "status 410"]
    reasons = [*_OUR_REASONS, *_misfits(), *endpoint_errors]
    assert len(reasons) == 24  # a new one needs its Russian text
    with open_console(browser, f"{system.url('edge')}/console", locale="ru-RU") as page:
        expect(page.locator("html")).to_have_attribute("lang", "ru")
        shown = page.evaluate(
            "async (reasons) => {"
            " const page = await import('./console/texts/reasons.js');"
            " return reasons.map((reason) => page.explain(reason)); }",
            reasons,
        )
    english = [text for text in shown if re.search("[A-Za-z]", _QUOTED.sub("", text))]
    assert english == []


def test_calls_are_paused_and_resumed_with_the_keyboard_alone(
    system: System, browser: Browser
) -> None:
    with open_console(browser, f"{system.url('edge')}/console") as page:
        page.get_by_role("button", name="Pause").focus()
        page.keyboard.press("Enter")
        page.keyboard.type("maintenance")
        page.keyboard.press("Enter")
        expect(page.locator("#verdict-state")).to_have_text("Stopped")
        expect(page.locator("#portal-state")).to_contain_text("maintenance")
        expect(page.get_by_role("button", name="Resume now")).to_be_focused()
        assert is_accessible(page)
        page.keyboard.press("Enter")
        expect(page.locator("#verdict-state")).to_have_text("Healthy")
    eventually(system.is_well, 120, "all is well again")


def test_a_dead_letter_is_read_and_discarded(system: System, browser: Browser) -> None:
    with amqp_client.connect(system) as amqp:
        amqp.publish({"pattern": "user_created", "data": "<img src=x onerror=alert(1)>"})
        dead = "/console/api/dead-letters"
        eventually(lambda: system.request("GET", dead).json()["items"], 120, "it is a dead letter")
    with open_console(browser, f"{system.url('edge')}/console#/dead-letters") as page:
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
    reason = {"reason": "why not"}
    system.request("POST", "/console/api/pause", json=reason, headers=CONSOLE_HEADER)
    with open_console(browser, f"{system.url('edge')}/console#/audit") as page:
        trail = page.locator("section", has=page.get_by_role("heading", name="Audit trail"))
        first = trail.get_by_role("listitem").first
        expect(first).to_contain_text("pause calls")
        expect(first).to_contain_text("no name")  # this system needs no keys
        expect(first).to_contain_text("why not")
        trail.get_by_label("without writes").uncheck()
        trail.get_by_role("button", name="Filter").click()
        expect(trail.get_by_role("list")).to_contain_text("created")
        assert is_accessible(page)
        trail.get_by_label("User id").fill(str(user["id"]))
        trail.get_by_role("button", name="Filter").click()
        expect(trail.get_by_role("listitem")).to_have_count(1)
        trail.get_by_role("link", name=f"User {user['id']}").click()
        expect(page.get_by_role("dialog")).to_contain_text("Чья Запись")


def test_millions_fit_into_the_layout(system: System, browser: Browser) -> None:
    with open_console(browser, f"{system.url('edge')}/console") as page:
        figure = page.locator("#figure-synced")
        expect(figure).not_to_have_text("–")
        for width in (360, 700, 1280):
            page.set_viewport_size({"width": width, "height": 740})
            figure.evaluate("element => { element.firstChild.textContent = '9,999,999'; }")
            assert figure.evaluate("element => element.scrollWidth <= element.clientWidth"), width


@pytest.mark.slow("a browser loads the page and axe checks it in each state")
def test_the_api_page_is_accessible(system: System, browser: Browser) -> None:
    with open_console(browser, f"{system.url('edge')}/docs") as page:
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
    with open_console(browser, system.url("bitrix24"), color_scheme=scheme) as page:
        expect(page.get_by_role("heading").first).to_be_visible()
        assert is_accessible(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_console_fits_a_phone_in_the_readers_language(
    system: System, browser: Browser, scheme: str
) -> None:
    phone = {"width": 360, "height": 740}
    options = {"viewport": phone, "color_scheme": scheme, "reduced_motion": "reduce"}
    with open_console(browser, f"{system.url('edge')}/console", locale="ru-RU", **options) as page:
        expect(page.locator("#verdict-state")).to_have_text("Работает")
        expect(page.locator("#figure-synced")).not_to_have_text("–")
        assert page.evaluate("document.documentElement.scrollWidth") == phone["width"]
        assert is_accessible(page)
        page.get_by_role("button", name="English").click()
        expect(page.locator("#verdict-state")).to_have_text("Healthy")
        page.reload()
        expect(page.locator("#verdict-state")).to_have_text("Healthy")


def test_requests_and_answers_are_masked_until_an_operator_asks_for_them(
    system: System, browser: Browser
) -> None:
    user_id = create_rejected_user(system, "Скрытое Имя", reason="Нет такого поля")
    phone = system.user(user_id)["phone"]
    with open_console(browser, f"{system.url('edge')}/console#/users/{user_id}") as page:
        dialog = page.get_by_role("dialog")
        calls = dialog.locator("details.calls")
        calls.get_by_text("Requests to Bitrix24: 1").click()
        for text in ("crm.item.add", "HTTP 200", "•••", "Rejected · ERROR_CORE"):
            expect(calls).to_contain_text(text)
        assert phone not in calls.inner_text()
        assert is_accessible(page)
        dialog.get_by_role("button", name="Show what was sent").click()
        expect(calls).to_contain_text(phone)
        expect(calls).to_have_attribute("open", "")


@pytest.mark.parametrize("width", [390, 1440, 2560])
@pytest.mark.slow("each view is loaded and axe checks it")
def test_every_view_fits_and_is_accessible_at_any_width_in_the_dark(
    system: System, browser: Browser, width: int
) -> None:
    user_id = create_rejected_user(system, "Ширина Экрана", reason="Нет такого поля")
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": "dark"}
    url = f"{system.url('edge')}/console"
    with open_console(browser, url, locale="ru-RU", reduced_motion="reduce", **options) as page:
        expect(page.locator("#figure-synced")).not_to_have_text("–")
        for view in (
            "/",
            "/users",
            "/failures",
            "/dead-letters",
            "/audit",
            "/first-match",
            f"/users/{user_id}",
        ):
            page.goto(f"{url}#{view}")
            if view == f"/users/{user_id}":
                page.get_by_role("dialog").get_by_text("Запросы к Битрикс24: 1").click()
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, view
            assert is_accessible(page), view


def test_without_answers_or_figures_nothing_is_shown_as_healthy(
    system: System, browser: Browser
) -> None:
    with opened_with_refusals(browser, f"{system.url('edge')}/console") as page:
        expect(page.locator("#live")).to_have_class("pill good")
        page.route("**/api/status", lambda route: route.abort())
        expect(page.locator("#verdict-state")).to_have_text("Unknown")
        expect(page.locator("#live")).to_have_class("pill bad")
        expect(page.locator("#portal-state")).to_contain_text("may be outdated")
        page.unroute("**/api/status")
        expect(page.locator("#verdict-state")).to_have_text("Healthy")


def test_every_view_filter_and_user_has_an_address(system: System, browser: Browser) -> None:
    user = system.create("Адресный Поиск")
    lead_id = system.await_synced(user["id"])["sync"]["bitrix_lead_id"]
    url = f"{system.url('edge')}/console"
    with open_console(browser, f"{url}#/users?find=сный+поиск&sync=synced") as page:
        expect(page.get_by_role("searchbox")).to_have_value("сный поиск")
        expect(page.locator("#list > li")).to_have_count(1)
        page.get_by_role("link", name=f"Open user {user['id']}", exact=True).click()
        expect(page.get_by_role("dialog")).to_contain_text("Адресный Поиск")
        assert page.url.endswith(f"#/users/{user['id']}")
        page.get_by_role("dialog").get_by_role("button", name="Close").click()
        expect(page).to_have_url(re.compile(r"#/users\?.*sync=synced"))
        page.get_by_label("State").select_option("failed")
        expect(page.locator("#found")).to_have_text("No users found.")
        page.go_back()
        expect(page.locator("#list > li")).to_have_count(1)
    with open_console(browser, f"{url}#/leads/{lead_id}") as page:
        expect(page.get_by_role("dialog")).to_contain_text("Адресный Поиск")
    with open_console(browser, url) as page:
        page.locator("#figure-synced a").click()
        expect(page.get_by_label("State")).to_have_value("synced")
        expect(page.locator("#list > li").first).to_be_visible()


def test_a_list_shows_new_users_by_itself_and_is_exported(system: System, browser: Browser) -> None:
    with open_console(browser, f"{system.url('edge')}/console#/users?find=сама") as page:
        expect(page.locator("#found")).to_have_text("No users found.")
        user = system.create("Сама Появилась")
        expect(page.locator("#list")).to_contain_text("Сама Появилась")
        with page.expect_download() as download:
            page.get_by_role("button", name="Export CSV").click()
        lines = download.value.path().read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("id,full_name,phone,stage,status")
        assert lines[1].startswith(f"{user['id']},Сама Появилась,+7")


def test_failures_are_retried_by_reason_as_a_job(system: System, browser: Browser) -> None:
    user_id = create_rejected_user(system, "По Причине")
    portal.clear_faults(system)
    with open_console(browser, f"{system.url('edge')}/console#/failures") as page:
        group = page.locator("#failures > li", has_text="Нет поля")
        expect(group).to_contain_text("users")
        assert is_accessible(page)
        group.get_by_role("button", name="Retry these").click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        job = page.locator("#jobs > li").first
        expect(job).to_contain_text("done")
        expect(job).to_contain_text("1 synced")
    eventually(lambda: system.user(user_id)["sync"]["status"] == "synced", 120, "it is synced")


def test_the_keyboard_alone_searches_and_goes_through_a_list(
    system: System, browser: Browser
) -> None:
    user = system.create("Клавиша Икс")
    system.await_synced(user["id"])
    with open_console(browser, f"{system.url('edge')}/console") as page:
        expect(page.locator("#live")).to_have_class("pill good")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.type("клавиша икс")
        page.keyboard.press("Enter")
        user_link = page.get_by_role("link", name=f"Open user {user['id']}", exact=True)
        expect(user_link).to_be_visible()
        page.get_by_role("button", name="Search").focus()
        page.keyboard.press("j")
        expect(user_link).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("Клавиша Икс")


@pytest.mark.parametrize("period", ["1h", "24h", "7d"])
def test_plots_have_units_a_clock_and_values_under_the_pointer(
    system: System, browser: Browser, period: str
) -> None:
    system.await_synced(system.create("На Графике")["id"])
    with open_console(browser, f"{system.url('edge')}/console#/?range={period}") as page:
        plot = page.locator("#settled-plot")
        expect(plot).to_contain_text("events per")
        expect(plot).to_contain_text(":")
        box = plot.bounding_box()
        assert box
        plot.hover(position={"x": box["width"] - 3, "y": box["height"] / 2})
        expect(page.locator("#settled-readout")).to_contain_text("synced")


def test_the_page_asks_for_a_key_and_keeps_it_in_its_tab(
    browser: Browser,
) -> None:
    with (
        console_with_keys(f"read:{READ_KEY} operate,read:{OPERATE_KEY}") as url,
        opened_with_refusals(browser, url) as page,
    ):
        for key, shown_text in (("wrong", "This key is invalid."), (READ_KEY, "incomplete")):
            page.get_by_role("textbox", name="Key").fill(key)
            page.keyboard.press("Enter")
            expect(page.get_by_text(shown_text, exact=True).first).to_be_visible()
        assert page.evaluate("localStorage.length") == 0
        page.reload()
        expect(page.locator("#live")).to_have_text("incomplete")
        page.get_by_role("link", name="Failures", exact=True).click()
        page.get_by_role("button", name="Retry all failed").click()
        page.get_by_role("dialog").get_by_role("button", name="Retry all failed").click()
        expect(page.locator("#toast")).to_contain_text("operate")


@contextmanager
def opened_with_refusals(browser: Browser, url: str) -> Iterator[Page]:
    """The console, in a window where errors that the browser logs for refusals are expected."""
    context = browser.new_context(locale="en-US")
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


@contextmanager
def console_with_keys(keys: str) -> Iterator[str]:
    """The console's function, without any server behind it."""
    port = free_port()
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
        eventually(lambda: _answers(url), 120, "the console serves")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_/health", timeout=60).ok
    except requests.ConnectionError:
        return False
