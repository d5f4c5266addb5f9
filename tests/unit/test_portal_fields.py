"""The map checked against a portal's fields, and a first map drafted from them."""

from typing import Any

import pytest

from leadline.bitrix24.command import Command
from leadline.errors import PortalDown
from leadline.mapping import draft, file, portal_fields
from leadline.mapping.portal_fields import Misfit, PortalField
from leadline.sync.fields import portal_reading
from tests.unit import maps

LISTS = {"SOURCE": {"WEB": "Website", "CALL": "Call"}}


def portal_field_of(kind: str, **extra: Any) -> dict[str, Any]:
    flags = {"isRequired": False, "isReadOnly": False, "isMultiple": False}
    return {"type": kind, **flags, "title": "Title", **extra}


PORTAL: dict[str, Any] = {
    "ID": portal_field_of("integer", isReadOnly=True),
    "TITLE": portal_field_of("string", isRequired=True),
    "NAME": portal_field_of("string", isRequired=True),
    "SOURCE_ID": portal_field_of("crm_status", statusType="SOURCE", title="Source"),
    "STATUS_ID": portal_field_of("crm_status", statusType="STATUS", isRequired=True),
    "COMMENTS": portal_field_of("string"),
    "OPPORTUNITY": portal_field_of("double"),
    "BIRTHDATE": portal_field_of("date"),
    "OPENED": portal_field_of("char"),
    "ASSIGNED_BY_ID": portal_field_of("user"),
    "DATE_CREATE": portal_field_of("datetime", isReadOnly=True),
    "PHONE": portal_field_of("crm_multifield", isMultiple=True),
    "EMAIL": portal_field_of("crm_multifield", isMultiple=True),
    "UF_CRM_CITY": portal_field_of("string", formLabel='City "of" birth', title="UF_CRM_CITY"),
    "UF_CRM_VIP": portal_field_of("boolean"),
    "UF_CRM_SIZE": portal_field_of(
        "enumeration", items=[{"ID": "45", "VALUE": "Small"}, {"ID": "46", "VALUE": "Big"}]
    ),
    "UF_CRM_TAGS": portal_field_of("string", isMultiple=True),
    "UF_CRM_FILE": portal_field_of("file"),
}


def portal(**changed: Any) -> dict[str, PortalField]:
    fields = {
        name: portal_field
        for name, portal_field in {**PORTAL, **changed}.items()
        if portal_field is not None
    }
    return portal_fields.parse(fields, LISTS)


def misfits_of(text: str, **changed: Any) -> list[Misfit]:
    return portal_fields.misfits(file.parse(text), portal(**changed))


def test_the_example_map_fits_the_portal() -> None:
    assert misfits_of(maps.EXAMPLE) == []


@pytest.mark.parametrize(
    ("changed", "name", "lead", "problem"),
    [
        ({"UF_CRM_CITY": None}, "city", "UF_CRM_CITY", "no such field"),
        (
            {"UF_CRM_CITY": portal_field_of("double")},
            "city",
            "UF_CRM_CITY",
            "type must be one of number",
        ),
        ({"UF_CRM_CITY": portal_field_of("file")}, "city", "UF_CRM_CITY", "holds file"),
        (
            {"UF_CRM_CITY": portal_field_of("string", isMultiple=True)},
            "city",
            "UF_CRM_CITY",
            "several values",
        ),
        ({"BIRTHDATE": portal_field_of("date", isReadOnly=True)}, "born", "BIRTHDATE", "read-only"),
        (
            {"UF_CRM_CITY": portal_field_of("string", isRequired=True)},
            "city",
            "UF_CRM_CITY",
            "required = true",
        ),
        (
            {"UF_CRM_SIZE": portal_field_of("enumeration", isRequired=True, title="Size")},
            "",
            "UF_CRM_SIZE",
            "requires it (Size)",
        ),
        ({"ASSIGNED_BY_ID": None}, "constants", "ASSIGNED_BY_ID", "no such field"),
    ],
)
def test_a_misfit_is_reported_with_its_field_and_the_problem(
    changed: dict[str, Any], name: str, lead: str, problem: str
) -> None:
    (misfit,) = misfits_of(maps.EXAMPLE, **changed)
    assert (misfit.field, misfit.lead) == (name, lead)
    assert problem in misfit.problem


def test_a_value_that_the_portals_list_lacks_is_named_with_those_it_has() -> None:
    (misfit,) = misfits_of(maps.EXAMPLE.replace('"CALL"', '"PHONE"'))
    assert "no PHONE: one of WEB (Website), CALL (Call)" in misfit.problem
    (misfit,) = misfits_of('[constants]\nSOURCE_ID = "FAX"\n')
    assert "no FAX: one of WEB (Website)" in misfit.problem
    assert misfits_of('[constants]\nSOURCE_ID = "WEB"\n') == []


PEOPLE = """
[fields.manager]
type = "one-of"
values = { mary = "2", richard = "3" }
lead = "ASSIGNED_BY_ID"

[constants]
UF_CRM_BOSS = 9
SOURCE_ID = "5"
"""


def test_people_that_the_portal_lacks_are_named_with_those_who_have_left() -> None:
    mapping, fields = file.parse(PEOPLE), portal(UF_CRM_BOSS=portal_field_of("employee"))
    people = portal_fields.mapped_people(mapping, fields)
    assert people == {"2", "3", "9"}
    answer = [{"ID": "2", "ACTIVE": True}, {"ID": "3", "ACTIVE": False}, {"ID": 5}, 7]
    missing = people - portal_fields.active_people(answer)
    checked = portal_fields.with_unknown_people(fields, missing)
    problems = {
        misfit.lead: misfit.problem
        for misfit in portal_fields.misfits(mapping, checked)
        if "active" in misfit.problem
    }
    assert problems == {
        "ASSIGNED_BY_ID": "the portal has no active user 3",
        "UF_CRM_BOSS": "the portal has no active user 9",
    }


@pytest.mark.parametrize("refused", ["scope", "user.get"])
def test_people_that_may_not_be_read_leave_the_rest_of_the_check(refused: str) -> None:
    fields = {"UF_CRM_BOSS": portal_field_of("employee")}
    answers: dict[str, Any] = {"crm.lead.fields": fields, "scope": ["crm", "user"], "user.get": []}

    def call(commands: dict[str, Command]) -> dict[str, Any]:
        if refused in {command.method for command in commands.values()}:
            raise PortalDown("user_access_error")
        return {name: answers[command.method] for name, command in commands.items()}

    mapping = file.parse("[constants]\nUF_CRM_BOSS = 9\nUF_CRM_ELSE = 1\n")
    (misfit,) = portal_fields.misfits(mapping, portal_reading.read(call, mapping))
    assert misfit.lead == "UF_CRM_ELSE"


@pytest.mark.parametrize(
    ("scopes", "is_allowed"),
    [(["crm", "user_brief"], True), (["crm"], False), (None, False), ({}, False)],
)
def test_the_portals_users_are_read_only_if_the_webhook_has_a_scope_for_it(
    scopes: Any, *, is_allowed: bool
) -> None:
    assert portal_fields.may_read_people(scopes) is is_allowed


def test_a_required_field_with_a_default_or_a_constant_is_filled() -> None:
    required = {"SOURCE_ID": portal_field_of("crm_status", statusType="SOURCE", isRequired=True)}
    assert misfits_of(maps.EXAMPLE, **required) == []  # it has a default
    assert misfits_of('[constants]\nSOURCE_ID = "WEB"\n', **required) == []
    (misfit,) = misfits_of("", **required)
    assert misfit.lead == "SOURCE_ID"


def test_lists_are_read_from_the_portal() -> None:
    assert portal_fields.status_types(PORTAL) == {"SOURCE"}
    answer = [{"STATUS_ID": "WEB", "NAME": "Website"}, {"NAME": "?"}, 5]
    assert portal_fields.parse_list(answer) == {"WEB": "Website"}
    assert portal_fields.parse_list({}) == {}


@pytest.mark.parametrize("answer", [None, [], "x", {"A": 5}, {"A": {}}])
def test_a_malformed_answer_about_fields_is_not_an_error(answer: Any) -> None:
    fields = portal_fields.parse(answer, {})
    assert all(field.fitting_types == () for field in fields.values())
    assert portal_fields.status_types(answer) == set()


def test_a_draft_is_a_map_that_fits() -> None:
    required = {"UF_CRM_SIZE": {**PORTAL["UF_CRM_SIZE"], "isRequired": True}}
    text = draft.text(portal(**required))
    field_map = file.parse(text)
    assert field_map.fields.keys() == {"email", "size"}
    assert field_map.fields["size"].values == {"Small": "45", "Big": "46"}
    assert portal_fields.misfits(field_map, portal(**required)) == []
    # As after a person has uncommented every field of the draft.
    everything = "\n".join(
        line.removeprefix("# ") if line.startswith(("# [", "# type", "# lead", '# "')) else line
        for line in text.splitlines()
        if not line.startswith(("# [constants]", "# value_type"))
    )
    field_map = file.parse(everything)
    targets = {field.lead for field in field_map.fields.values()}
    assert {"SOURCE_ID", "COMMENTS", "UF_CRM_CITY", "UF_CRM_VIP", "OPPORTUNITY"} <= targets
    assert not targets & {"UF_CRM_TAGS", "UF_CRM_FILE", "ID", "TITLE", "NAME", "PHONE"}
    assert portal_fields.misfits(field_map, portal()) == []


def test_fields_with_the_same_beginning_get_different_names_of_allowed_length() -> None:
    too_long_for_a_name = "UF_CRM_" + 45 * "A"
    long_names = [f"{too_long_for_a_name}{number}" for number in range(12)]
    required = {name: portal_field_of("string", isRequired=True) for name in long_names}
    field_map = file.parse(draft.text(portal(**required)))
    targets = {user_field.lead for user_field in field_map.fields.values()}
    assert set(long_names) <= targets
