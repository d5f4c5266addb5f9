"""The model of docs/model: it holds, and each rule is needed.

`make model` searches it within its full bounds. Here they are as small as the point allows.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "docs/model/sync.pml"

pytestmark = pytest.mark.skipif(
    not (shutil.which("spin") and shutil.which("gcc")),
    reason="no spin or no gcc on this machine; make test installs them",
)

CREATED_TWICE = "leads<=1"
NOT_IN_SYNC = "lead==value[version]"
NOT_ANSWERED = "synced==version"
OLDER_STATE_CAME_LAST = "order>=synced"

#: For each rule the bounds within which its absence shows, and the violation.
RULES = {
    "DOUBT_AFTER_LOST_LEASE": ("WRITES=3 LOSSES=0", NOT_IN_SYNC),
    "EPOCH_MARK": ("WRITES=3 LOSSES=1 MESSAGES=1", NOT_IN_SYNC),
    "EPOCH_WAIT": ("WRITES=1 LOSSES=1", CREATED_TWICE),
    "FIRST_DELIVERY": ("WRITES=1 LOSSES=1", CREATED_TWICE),
    "LOOK_UP": ("WRITES=1 LOSSES=0", CREATED_TWICE),
    "WAIT_UNTIL": ("WRITES=1 LOSSES=0", CREATED_TWICE),
    "RUNNING_UNTIL": ("WRITES=3 LOSSES=0", OLDER_STATE_CAME_LAST),
    "DOUBT_AFTER_RUNNING_UNTIL": ("WRITES=3 LOSSES=0", NOT_IN_SYNC),
    "FENCE": ("WRITES=1 LOSSES=0", CREATED_TWICE),
    "SEND_UNTIL": ("WRITES=1 LOSSES=0", CREATED_TWICE),
    "RELAY": ("WRITES=1 LOSSES=0", NOT_ANSWERED),
    "VOUCHING": ("WRITES=2 LOSSES=1 MESSAGES=1", OLDER_STATE_CAME_LAST),
    "OVERWRITES": ("WRITES=2 LOSSES=1 CLOCK_AHEAD", NOT_IN_SYNC),
    "FENCE_OF_REPEATED": ("WRITES=2 LOSSES=1 CLOCK_AHEAD", NOT_IN_SYNC),
}


def search(*names: str) -> tuple[int, str]:
    """The exit code of a search with these definitions, and its output."""
    options = [f"-D{name}" for name in names]
    result = subprocess.run(
        (ROOT / "scripts/model", *options), capture_output=True, text=True, check=False
    )
    assert result.returncode in (0, 1), result.stderr
    return result.returncode, result.stdout


@pytest.mark.slow("spin searches every order")
@pytest.mark.parametrize(
    "bounds",
    ["WRITES=3 LOSSES=0 MESSAGES=1", "WRITES=1 LOSSES=1", "WRITES=2 LOSSES=1 MESSAGES=1"],
)
def test_all_rules_together_keep_the_promises(bounds: str) -> None:
    code, printed = search(*bounds.split())
    assert code == 0, printed
    assert "P3 in the end" in printed


@pytest.mark.slow("spin searches every order")
def test_once_faults_stop_each_version_is_answered() -> None:
    code, printed = search("CALM", "WRITES=1", "LOSSES=1", "MESSAGES=1")
    assert code == 0, printed
    code, printed = search("CALM", "WRITES=1", "LOSSES=0", "WITHOUT_RELAY")
    assert code == 1, printed
    assert "acceptance cycle" in printed


@pytest.mark.slow("spin searches every order")
@pytest.mark.parametrize("rule", RULES)
def test_without_any_one_rule_a_promise_breaks(rule: str) -> None:
    bounds, broken = RULES[rule]
    code, printed = search(f"WITHOUT_{rule}", *bounds.split())
    assert code == 1, printed
    assert broken in printed.splitlines()[0]
    assert "client: writes version 1, A" in printed  # short enough for a person to follow


def test_every_rule_of_the_model_is_tried_and_explained() -> None:
    rules = set(re.findall(r"\bWITHOUT_([A-Z_]+)", MODEL.read_text(encoding="utf-8")))
    page = (ROOT / "docs/model/README.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`WITHOUT_([A-Z_]+)`", page))
    assert rules == set(RULES) == explained
