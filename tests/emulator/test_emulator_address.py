"""The emulator accepts all forms of paths and encodings, and refuses wrong webhooks."""

import pytest
import requests

from tests.emulator.emulator_process import Emulator

LEAD = {
    "TITLE": "My company",
    "PHONE": [
        {"VALUE": "112233", "VALUE_TYPE": "WORK"},
        {"VALUE": "555888112", "VALUE_TYPE": "OTHER"},
    ],
}
FORM = {
    "fields[TITLE]": "My company",
    "fields[PHONE][0][VALUE]": "112233",
    "fields[PHONE][0][VALUE_TYPE]": "WORK",
    "fields[PHONE][1][VALUE]": "555888112",
    "fields[PHONE][1][VALUE_TYPE]": "OTHER",
}


@pytest.mark.parametrize("method", ["server.time", "server.time.json", "server.time/"])
def test_a_method_has_three_path_forms(emulator: Emulator, method: str) -> None:
    assert emulator.result(method)


@pytest.mark.parametrize("method", ["crm.lead.Add.json", "CRM.LEAD.ADD", "crm.lead.add"])
def test_the_case_of_a_method_does_not_matter(emulator: Emulator, method: str) -> None:
    assert emulator.result(method) == 1


def test_all_four_encodings_make_the_same_lead(emulator: Emulator) -> None:
    url = emulator.webhook + "crm.lead.add"
    session = emulator.session
    answers = [
        session.post(url, json={"fields": LEAD}, timeout=60),
        session.get(url + ".json", params=FORM, timeout=60),
        session.post(url, data=FORM, timeout=60),
        session.post(url, files={name: (None, value) for name, value in FORM.items()}, timeout=60),
    ]
    assert [answer.json()["result"] for answer in answers] == [1, 2, 3, 4]
    leads = [
        (lead["TITLE"], [(row["VALUE"], row["VALUE_TYPE"]) for row in lead["PHONE"]])
        for lead in emulator.leads()
    ]
    assert leads == [("My company", [("112233", "WORK"), ("555888112", "OTHER")])] * 4


@pytest.mark.parametrize("name", ["id", "ID"])
def test_the_id_may_be_upper_or_lower_case(emulator: Emulator, name: str) -> None:
    emulator.add()
    assert emulator.result("crm.lead.get", {name: "1"})["ID"] == "1"


@pytest.mark.parametrize("path", ["/rest/1/wrong/profile", "/rest/profile", "/rest", "/rest/2/x/y"])
def test_a_wrong_code_is_no_auth_found(emulator: Emulator, path: str) -> None:
    response = requests.post(emulator.base + path, timeout=60)
    assert response.status_code == 401
    assert response.json() == {
        "error": "NO_AUTH_FOUND",
        "error_description": "Wrong authorization data",
    }


def test_a_webhook_without_the_crm_right_has_insufficient_scope(emulator: Emulator) -> None:
    emulator.set(scope=["user"])
    response = emulator.post("crm.lead.add")
    assert (response.status_code, response.json()["error"]) == (403, "insufficient_scope")
    assert emulator.result("profile")["ID"] == "1"
    assert emulator.leads() == []


@pytest.mark.parametrize("status", [404, 400])
def test_an_unknown_method_is_method_not_found(emulator: Emulator, status: int) -> None:
    emulator.set(unknown_method_status=status)
    response = emulator.post("crm.led.add")
    assert (response.status_code, response.json()["error"]) == (status, "ERROR_METHOD_NOT_FOUND")


def test_a_double_slash_is_accepted_or_not_found(emulator: Emulator) -> None:
    assert emulator.post("/profile").status_code == 200
    emulator.set(double_slash="not_found")
    assert emulator.post("/profile").status_code == 404
