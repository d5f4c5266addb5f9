"""The method batch of the emulator."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.emulator.emulator_process import Emulator
from tests.servers import eventually


def test_the_fifty_first_command_fails_alone(emulator: Emulator) -> None:
    result = emulator.batch({f"c{number}": "crm.lead.add" for number in range(51)})
    assert len(result["result"]) == 50
    assert result["result_error"]["c50"]["error"] == "ERROR_BATCH_LENGTH_EXCEEDED"


def test_the_setting_batch_overflow_can_reject_an_overlong_batch_as_a_whole(
    emulator: Emulator,
) -> None:
    emulator.set(batch_overflow="request")
    response = emulator.post(
        "batch", {"cmd": {f"c{number}": "crm.lead.add" for number in range(51)}}
    )
    assert response.status_code == 400
    assert response.json()["error"] == "ERROR_BATCH_LENGTH_EXCEEDED"
    assert emulator.leads() == []


def test_a_batch_in_a_batch_is_not_allowed(emulator: Emulator) -> None:
    result = emulator.batch({"a": "batch?cmd[b]=crm.lead.add", "c": "crm.lead.add"})
    assert result["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    assert result["result"] == {"c": 1}


@pytest.mark.parametrize("halt", [0, "0", False])
def test_without_halt_all_commands_run(emulator: Emulator, halt: Any) -> None:
    result = emulator.batch({"a": "crm.lead.get?id=9", "b": "crm.lead.add"}, halt)
    assert result["result"] == {"b": 1}
    assert list(result["result_error"]) == ["a"]
    assert list(result["result_time"]) == ["b"]


@pytest.mark.parametrize("halt", [1, "1", True])
def test_with_halt_later_commands_neither_run_nor_appear(emulator: Emulator, halt: Any) -> None:
    cmd = {"a": "crm.lead.add", "b": "crm.lead.get?id=9", "c": "crm.lead.add"}
    result = emulator.batch(cmd, halt)
    assert result["result"] == {"a": 1}
    assert list(result["result_error"]) == ["b"]
    assert len(emulator.leads()) == 1


def test_results_are_inserted_into_later_commands(emulator: Emulator) -> None:
    result = emulator.batch(
        {
            "new": "crm.lead.add?fields[NAME]=Gleb&fields[PHONE][0][VALUE]=1",
            "list": "crm.lead.list?filter[ID]=$result[new]&select[]=NAME&select[]=PHONE",
            "copy": "crm.lead.add?fields[NAME]=$result[list][0][NAME]"
            "&fields[TITLE]=copy of $result[new], $result[list][0][PHONE][0][VALUE]",
        }
    )
    assert result["result_error"] == []
    lead = emulator.get(result["result"]["copy"])
    assert (lead["NAME"], lead["TITLE"]) == ("Gleb", "copy of 1, 1")


def test_an_unresolved_reference_stays_as_text(emulator: Emulator) -> None:
    result = emulator.batch(
        {
            "bad": "crm.lead.get?id=9",
            "next": "crm.lead.add?fields[TITLE]=$result[bad][TITLE]",
        }
    )
    assert emulator.get(result["result"]["next"])["TITLE"] == "$result[bad][TITLE]"


def test_empty_maps_of_a_batch_result_are_json_lists(emulator: Emulator) -> None:
    assert emulator.batch({}) == {
        "result": [],
        "result_error": [],
        "result_total": [],
        "result_next": [],
        "result_time": [],
    }


def test_numeric_keys_make_lists(emulator: Emulator) -> None:
    result = emulator.batch(["crm.lead.get?id=9", "crm.lead.add", "crm.lead.add"])
    assert result["result_error"] == [{"error": "", "error_description": "Not found"}]
    assert result["result"] == {"1": 1, "2": 2}
    assert emulator.batch({"0": "crm.lead.add", "1": "crm.lead.add"})["result"] == [3, 4]


def test_a_batch_answers_200_when_every_command_failed(emulator: Emulator) -> None:
    result = emulator.batch({"a": "no.such", "b": "crm.lead.get?id=9"})
    assert result["result"] == []
    assert result["result_time"] == []
    assert [error["error"] for error in result["result_error"].values()] == [
        "ERROR_METHOD_NOT_FOUND",
        "",
    ]


def test_a_batch_is_one_request_in_the_bucket(emulator: Emulator) -> None:
    emulator.set(rate_per_s=0.001, burst=2)
    for _ in range(2):
        emulator.batch({f"c{number}": "crm.lead.add" for number in range(50)})
    assert emulator.post("profile").status_code == 503
    assert emulator.calls()["commands"] == 100


def test_values_in_a_command_need_their_own_url_encoding(emulator: Emulator) -> None:
    title = "A & B = 100%+ «тест»?"
    json_id = emulator.batch({"a": f"crm.lead.add?fields[TITLE]={quote(title)}"})["result"]["a"]
    response = emulator.session.post(
        emulator.webhook + "batch",
        data={"cmd[a]": f"crm.lead.add?fields[TITLE]={quote(title)}"},
        timeout=60,
    )
    titles = {
        emulator.get(lead_id)["TITLE"]
        for lead_id in (json_id, response.json()["result"]["result"]["a"])
    }
    assert titles == {title}


def test_a_plus_that_is_not_encoded_becomes_a_space(emulator: Emulator) -> None:
    result = emulator.batch({"a": "crm.lead.add?fields[PHONE][0][VALUE]=+7700"})
    assert emulator.get(result["result"]["a"])["PHONE"][0]["VALUE"] == " 7700"


def test_totals_and_next_are_in_separate_maps(emulator: Emulator) -> None:
    emulator.batch({f"c{number}": "crm.lead.add" for number in range(50)})
    emulator.add()
    result = emulator.batch(
        {"all": "crm.lead.list", "stages": "crm.status.list?filter[ENTITY_ID]=STATUS"}
    )
    assert result["result_total"] == {"all": 51, "stages": 6}
    assert result["result_next"] == {"all": 50}


def test_a_command_is_committed_when_it_ends(emulator: Emulator) -> None:
    """Neither the start nor the end of its batch matters."""
    emulator.set(command_ms=300)
    began = time.time()
    with ThreadPoolExecutor(1) as client:
        commands = {f"c{number}": "crm.lead.add" for number in range(12)}
        batch = client.submit(emulator.batch, commands)
        eventually(emulator.leads, 60, "the first lead exists")
        assert not batch.done()
        batch.result()
    times = [lead["history"][0]["time"] for lead in emulator.leads()]
    assert len(times) == 12
    assert all(at >= began + 0.3 * number for number, at in enumerate(times, 1))
