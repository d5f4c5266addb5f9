"""No malformed request of a client makes the emulator crash, hang or misreport its state."""

import json
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.methods import METHODS as METHODS_BY_NAME
from tests.emulator.emulator_process import Emulator

METHODS = sorted({*METHODS_BY_NAME, "batch"})
#: The methods of a group, which are of different families, get the same parameters: generating them
#: takes ten times as long as sending them.
GROUPS = [METHODS[start::40] for start in range(40)]
NAMES = [
    "id",
    "ID",
    "fields",
    "filter",
    "order",
    "select",
    "start",
    "entityTypeId",
    "cmd",
    "halt",
    "type",
    "values",
    "entity_type",
    "event",
    "handler",
    "NAME",
    "PHONE",
    "ORIGIN_ID",
    "STATUS_ID",
    "DATE_MODIFY",
    "OPPORTUNITY",
    "fm",
    "VALUE",
    "typeId",
    "value",
    "@ORIGIN_ID",
    ">=DATE_MODIFY",
    "!@ID",
    "%NAME",
    ">ID",
    "n0",
    "data",
    "params",
    "items",
    "entityIds",
    "CONTACT_ID",
    "CONTACT_IDS",
    "contactIds",
    "logic",
    "FIELD_NAME",
    "USER_TYPE_ID",
    "LIST",
    "SETTINGS",
    "ENTITY_ID",
    "name",
    "createdTime",
    "UF_CRM_A",
    "ufCrmA",
    "process_id",
    "sort",
    "1",
    "0",
]

texts = st.one_of(
    st.text(max_size=20), st.sampled_from(["1", "-1", "PHONE", "$result[a][b]", "\x00"])
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.integers(2**62, 2**70)
)
names = st.one_of(st.sampled_from(NAMES), texts)
trees = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(names, below, max_size=5),
    max_leaves=12,
)
bodies = st.dictionaries(names, trees, max_size=6)


def check_is_proper(response: requests.Response) -> None:
    """A status that a client can cause, and either a result or an error."""
    assert response.status_code in {200, 400, 403, 404}, (response.url, response.text)
    body = response.json()
    assert ("result" in body) != ("error" in body), response.url


@pytest.mark.parametrize("methods", GROUPS, ids=lambda methods: methods[0])
def test_any_parameters_get_a_proper_answer(emulator: Emulator, methods: list[str]) -> None:
    emulator.set(rate_per_s=0)
    emulator.add(NAME="a", PHONE=[{"VALUE": "1"}])
    field = {"FIELD_NAME": "A", "USER_TYPE_ID": "enumeration", "LIST": [{"VALUE": "1"}]}
    emulator.result("crm.lead.userfield.add", {"fields": field})

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(bodies, st.booleans())
    def attempt(body: dict[str, Any], is_of_lead: bool) -> None:  # noqa: FBT001 (hypothesis gives it)
        params = {**body, "entityTypeId": 1, "id": 1} if is_of_lead else body
        data = json.dumps(params).encode()
        headers = {"Content-Type": "application/json"}
        for method in methods:
            url = emulator.webhook + method
            check_is_proper(emulator.session.post(url, data=data, headers=headers, timeout=60))

    attempt()
    emulator.leads()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.text(alphabet="&=[]%$?+.aAbB012{}\"'", max_size=40))
def test_any_query_or_form_gets_a_proper_answer(running_emulator: Emulator, text: str) -> None:
    running_emulator.set(rate_per_s=0)
    url = running_emulator.webhook + "crm.lead.add"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    check_is_proper(
        running_emulator.session.post(url, data=text.encode(), headers=headers, timeout=60)
    )
    check_is_proper(running_emulator.session.get(url + "?" + text.replace("#", ""), timeout=60))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"9" * 10_000, "application/json"),
        (b"nonsense", "multipart/form-data"),
        (b"--x\r\n", "multipart/form-data; boundary=x"),
    ],
    ids=["cut", "deep", "binary", "huge number", "no boundary", "cut multipart"],
)
def test_an_unreadable_body_is_a_bad_request(
    emulator: Emulator, body: bytes, content_type: str
) -> None:
    url = emulator.webhook + "crm.lead.add"
    headers = {"Content-Type": content_type}
    response = emulator.session.post(url, data=body, headers=headers, timeout=60)
    assert (response.status_code, response.json()["error"]) == (400, "INVALID_REQUEST")
    assert emulator.leads() == []


@pytest.mark.parametrize("body", ["[]", "7", "null", '"x"', ""])
def test_a_body_that_is_no_object_has_no_parameters(emulator: Emulator, body: str) -> None:
    url = emulator.webhook + "crm.lead.add"
    headers = {"Content-Type": "application/json"}
    assert emulator.session.post(url, data=body, headers=headers, timeout=60).json()["result"] == 1


def test_a_body_that_is_too_large_is_413(emulator: Emulator) -> None:
    url = emulator.webhook + "crm.lead.add"
    response = requests.post(url, data=b"x" * (17 * 1024 * 1024), timeout=60)  # 16 MiB fit
    assert response.status_code == 413
    assert response.json()["error"] == "INVALID_REQUEST"


def test_lone_surrogates_and_nul_are_replaced(emulator: Emulator) -> None:
    data = b'{"fields": {"NAME": "a\\ud800b", "TITLE": "a\\u0000b", "ORIGIN_ID": "\\udfff"}}'
    headers = {"Content-Type": "application/json"}
    url = emulator.webhook + "crm.lead.add"
    assert emulator.session.post(url, data=data, headers=headers, timeout=60).json()["result"] == 1
    assert emulator.leads()[0]["NAME"] == "a?b"


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "settings",
        "faults",
        "reset",
        "leads",
        "leads/1",
        "items/1",
        "items/1/1",
        "bin/1",
        "calls",
        "x",
    ],
)
def test_no_body_on_the_control_api_causes_a_server_error(
    emulator: Emulator, verb: str, path: str
) -> None:
    for body in (b"{", b"[1]", b'{"a": {"b": []}}', b'{"speed": 1e999}', b"\xff", b"[[" * 50_000):
        url = f"{emulator.base}/_emulator/{path}"
        response = emulator.session.request(verb, url, data=body, timeout=60)
        assert response.status_code in {200, 404, 405, 422}
