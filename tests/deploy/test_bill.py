"""The notices and the bill of materials match the packages that images install."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.deploy.packages import REQUIREMENTS, requirements_file

PINNED = dict(re.findall(r"(?m)^([\w.-]+)(?:\[\w+\])?==([^ ;\\\n]+)", requirements_file()))


def bill(kind: str) -> str:
    command = (sys.executable, REQUIREMENTS / "bill.py", kind)
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def sbom() -> Any:
    return json.loads(bill("sbom"))


def test_the_notices_are_those_of_the_lock() -> None:
    committed = (REQUIREMENTS.parent / "THIRD-PARTY.md").read_text(encoding="utf-8")
    assert bill("notices") == committed, "run `make notices`"
    _header, *rows = re.findall(r"(?m)^\| ([\w.-]+) \| (\S+) \| (.+) \|$", committed)
    assert {name: version for name, version, _ in rows} == PINNED


def test_every_package_has_a_licence_and_none_is_under_the_gpl(sbom: Any) -> None:
    for component in sbom["components"]:
        licence = component["licenses"][0]["license"]["name"]
        assert licence, component["name"]
        assert not re.search(r"\bA?GPL", licence), f"{component['name']}: {licence}"


def test_the_bill_names_each_package_with_its_version_and_hashes(sbom: Any) -> None:
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert {component["name"]: component["version"] for component in sbom["components"]} == PINNED
    assert len({component["bom-ref"] for component in sbom["components"]}) == len(PINNED)
    hashes = {
        digest["content"]
        for component in sbom["components"]
        for file in component["externalReferences"]
        for digest in file["hashes"]
    }
    assert hashes == set(re.findall(r"sha256:(\w{64})", requirements_file()))
