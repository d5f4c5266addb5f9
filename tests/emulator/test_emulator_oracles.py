"""The control API: counts, listings and settings, by which tests judge a client."""

import pytest

from tests.emulator.emulator_process import Emulator


def test_leads_show_their_phones_and_the_order_of_their_writes(emulator: Emulator) -> None:
    fields = {"NAME": "Иван", "ORIGIN_ID": "7", "PHONE": [{"VALUE": "+7700", "VALUE_TYPE": "WORK"}]}
    emulator.add(**fields)
    emulator.result("crm.lead.update", {"id": 1, "fields": {"NAME": "Пётр"}})
    emulator.control("PATCH", "leads/1", {"STATUS_ID": "JUNK"})
    (lead,) = emulator.leads()
    assert (lead["ID"], lead["NAME"], lead["STATUS_ID"]) == ("1", "Пётр", "JUNK")
    assert lead["PHONE"] == [{"ID": "1", "VALUE": "+7700", "VALUE_TYPE": "WORK"}]
    assert [(write["method"], write["fields"]) for write in lead["history"]] == [
        ("crm.lead.add", fields),
        ("crm.lead.update", {"NAME": "Пётр"}),
        ("user", {"STATUS_ID": "JUNK"}),
    ]
    times = [write["time"] for write in lead["history"]]
    assert times == sorted(times)


def test_leads_can_be_filtered(emulator: Emulator) -> None:
    emulator.batch(
        {f"c{number}": f"crm.lead.add?fields[ORIGIN_ID]={number % 2}" for number in range(9)}
    )
    ids = {
        query: [int(lead["ID"]) for lead in emulator.control("GET", f"leads?{query}")]
        for query in ("origin_id=1", "after=6", "limit=2", "limit=2&after=3", "origin_id=9")
    }
    assert ids == {
        "origin_id=1": [2, 4, 6, 8],
        "after=6": [7, 8, 9],
        "limit=2": [1, 2],
        "limit=2&after=3": [4, 5],
        "origin_id=9": [],
    }


def test_calls_count_requests_commands_and_refusals(emulator: Emulator) -> None:
    """A batch is in `methods` but is no command; requests that did not run are in neither."""
    emulator.batch({"a": "crm.lead.add", "b": "crm.lead.get?id=9", "c": "no.such"})
    emulator.add()
    emulator.set(rate_per_s=0.001, burst=2)
    emulator.post("crm.lead.add")
    calls = emulator.calls()
    assert calls["requests"] == 3
    assert calls["refused"] == 1
    assert calls["commands"] == 3
    assert calls["methods"] == {"batch": 1, "crm.lead.add": 2, "crm.lead.get": 1}
    assert len(calls["times"]) == 3
    assert calls["times"] == sorted(calls["times"])


def test_the_control_api_reports_the_rate_of_each_second(emulator: Emulator) -> None:
    for _ in range(3):
        emulator.post("profile")
    rate = emulator.control("GET", "rate")
    assert sum(second["requests"] for second in rate["seconds"]) == 3
    assert 0 < rate["levels"]["127.0.0.1 standard"] <= 3
    assert rate["limits"]["standard"] == {"per_s": 2, "burst": 50}


def test_phone_rows_are_counted(emulator: Emulator) -> None:
    emulator.add()
    emulator.add(PHONE=[{"VALUE": "1"}, {"VALUE": "1"}])
    assert emulator.control("GET", "phones") == {"0": 1, "2": 1}


def test_the_control_api_is_never_counted_limited_or_broken(emulator: Emulator) -> None:
    emulator.set(rate_per_s=0.001, burst=1, mode="revoked")
    emulator.fault("*", "drop_before")
    for _ in range(5):
        emulator.leads()
    assert emulator.calls()["requests"] == 0


def test_reset_restores_the_initial_state(emulator: Emulator) -> None:
    """There are no leads, counts or faults; settings have their defaults; ids start at 1."""
    defaults = emulator.control("GET", "settings")
    emulator.set(burst=3, mode="overload", speed=10)
    emulator.fault("*", "error")
    emulator.post("profile")
    assert emulator.control("POST", "reset") == defaults
    assert emulator.control("GET", "settings") == defaults
    assert emulator.control("GET", "faults") == []
    assert emulator.calls() == {
        "requests": 0,
        "commands": 0,
        "refused": 0,
        "methods": {},
        "times": [],
    }
    assert emulator.add(PHONE=[{"VALUE": "1"}]) == 1
    assert emulator.get(1)["PHONE"][0]["ID"] == "1"


def test_a_late_commit_does_not_survive_a_reset(emulator: Emulator) -> None:
    """Late effects of a test must not reach the next one."""
    emulator.fault("crm.lead.add", "late_commit", delay_ms=60_000, silent=True)
    emulator.abandon("crm.lead.add")
    emulator.control("POST", "reset")
    # `profile` takes two emulated minutes here; the late commit would have been due after one.
    emulator.set(command_ms=120_000, request_limit_s=200, speed=10_000)
    emulator.result("profile")
    assert emulator.leads() == []


@pytest.mark.parametrize(
    "body",
    [
        {"sped": 1},
        {"speed": 0},
        {"speed": "fast"},
        {"burst": None},
        {"burst": True},
        {"mode": "broken"},
        {"scope": "crm"},
        {"refused_counts": 1},
        {"seed": 1.5},
        {"outgoing_webhook_url": "ftp://x/"},
        {"rate_per_s": 5, "burst": -1},
        [],
        "speed",
    ],
    ids=str,
)
def test_a_bad_setting_is_422_and_changes_nothing(emulator: Emulator, body: object) -> None:
    """The message names the setting."""
    before = emulator.control("GET", "settings")
    url = emulator.base + "/_emulator/settings"
    response = emulator.session.put(url, json=body, timeout=60)
    assert response.status_code == 422
    names = list(body) if isinstance(body, dict) else ["settings"]
    assert any(name in response.json()["error"] for name in names)
    assert emulator.control("GET", "settings") == before


def test_changing_settings_returns_all_current_settings(emulator: Emulator) -> None:
    """PUT changes only the settings that it names."""
    after = emulator.control("PUT", "settings", {"rate_per_s": None, "operating_limit_s": None})
    assert (after["rate_per_s"], after["operating_limit_s"], after["burst"]) == (None, None, 50)
    assert [emulator.post("profile").status_code for _ in range(60)] == [200] * 60


@pytest.mark.parametrize("body", [{}, [], {"STATUS_ID": 7}, {"STATUS_ID": "NEW", "NAME": "x"}])
def test_a_person_can_only_move_a_lead(emulator: Emulator, body: object) -> None:
    """PATCH takes a stage and nothing else."""
    emulator.add()
    url = emulator.base + "/_emulator/leads/"
    assert emulator.session.patch(url + "1", json=body, timeout=60).status_code == 422
    good = {"STATUS_ID": "JUNK"}
    assert emulator.session.patch(url + "9", json=good, timeout=60).status_code == 404
    assert emulator.session.patch(url + "x", json=good, timeout=60).status_code == 404
    emulator.set(unknown_status="reject")
    unknown = {"STATUS_ID": "NO_SUCH"}
    assert emulator.session.patch(url + "1", json=unknown, timeout=60).status_code == 422


def test_cross_site_pages_cannot_control_the_portal(emulator: Emulator) -> None:
    """A browser names the origin of a request."""
    url = emulator.base + "/_emulator/reset"
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert emulator.session.post(url, headers=headers, timeout=60).status_code == 403
