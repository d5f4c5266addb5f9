"""stack.yml: an operator's deployment fits the code, OpenFaaS, and its Community Edition."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pydantic
import pytest
import yaml

import leadline
from leadline.settings import Settings
from local import stack
from local.logins.table import URL_SECRETS
from local.stack import FUNCTIONS_MAX
from tests.deploy.stacks import PROCESSES, STACK

CHECKOUT = Path(__file__).parents[2]
#: Variables that leadline.runtime.serving.serve reads by itself.
SERVER = {"HOST", "PORT", "THREADS"} | {f"{address}_FILE" for address in URL_SECRETS.values()}


def function_folder(name: str) -> Path:
    return CHECKOUT / STACK.functions[name].handler


#: Loads each function in a process of its own; what all of them load is imported once.
_LOADED = """
import json, os, sys
from pathlib import Path
from leadline.runtime.serving.serve import build_app
for folder in sys.argv[1:]:
    if not os.fork():
        build_app(Path(folder))
        ours = [name for name in sys.modules if name.startswith("leadline")]
        loaded = [sys.modules[name].__file__ for name in ours]
        print(json.dumps([folder, loaded]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, folder
"""


@cache
def loaded_modules() -> dict[str, list[str]]:
    """The files of our modules that each function loads, by its folder."""
    printed = subprocess.run(
        [sys.executable, "-c", _LOADED, *(str(function_folder(name)) for name in STACK.functions)],
        cwd=CHECKOUT,
        env={**os.environ, "LEADLINE_AUTH": "off"},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return dict(json.loads(line) for line in printed.splitlines())


def sources(name: str) -> str:
    """The code of all our modules that this function loads."""
    paths = loaded_modules()[str(function_folder(name))]
    return "\n".join(Path(path).read_text(encoding="utf-8") for path in paths)


def test_every_function_is_in_the_stack_under_its_folders_name() -> None:
    folders = {path.parent.name for path in CHECKOUT.glob("functions/*/main.py")}
    assert {name.replace("-", "_") for name in STACK.functions} == folders
    for name, function in STACK.functions.items():
        assert function.handler == f"./functions/{name.replace('-', '_')}"
        assert function.build_args == {"FUNCTION_TARGET": name.replace("-", "_")}
        assert function.image.split("/")[-1].split(":")[0] == name
        assert function.readonly_root_filesystem
        assert function.limits
        assert function.requests


def test_copied_files_exist_and_are_the_same_in_both_stacks() -> None:
    assert STACK.configuration == PROCESSES.configuration
    assert all((CHECKOUT / path).exists() for path in STACK.configuration.copied)


def test_registry_owner_and_tag_are_variables() -> None:
    chosen = stack.read(
        CHECKOUT / "stack.yml", {"REGISTRY": "example.org:5000", "OWNER": "me", "TAG": "2"}
    )
    assert chosen.functions["get-user"].image == "example.org:5000/me/get-user:2"


@pytest.mark.parametrize("name", STACK.functions)
def test_a_function_gets_the_variables_that_its_code_reads(name: str) -> None:
    function = STACK.functions[name]
    environment = function.all_environment(CHECKOUT)
    settings = {f"LEADLINE_{field}".upper() for field in Settings.model_fields}
    assert environment.keys() <= settings | SERVER
    Settings.model_validate(
        {
            key.removeprefix("LEADLINE_").lower(): environment[key]
            for key in environment.keys() & settings
        }
    )
    # A change in deploy/environment/ reaches every function concerned.
    configurable = {
        key for file in CHECKOUT.glob("deploy/environment/*.yml") for key in _keys(file)
    }
    used = set(re.findall(r"settings\(\)\.(\w+)", sources(name)))
    missing = {f"LEADLINE_{field}".upper() for field in used} & configurable - environment.keys()
    assert not missing


def _keys(file: Path) -> list[str]:
    return list(yaml.load(file.read_text(), yaml.CSafeLoader)["environment"])


def test_images_are_labelled_with_their_version() -> None:
    dockerfile = (CHECKOUT / "template/leadline/Dockerfile").read_text()
    assert f"\nARG VERSION={leadline.__version__}\n" in dockerfile
    assert {function.image.rpartition(":")[2] for function in STACK.functions.values()} == {
        leadline.__version__
    }


def _stack_with(**changes: object) -> str:
    document = yaml.load((CHECKOUT / "stack.yml").read_text(), yaml.CSafeLoader)
    document["functions"]["get-user"] |= changes
    return json.dumps(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"limit": {"memory": "1Gi", "cpu": "1000m"}},
        {"build_args": ["FUNCTION_TARGET=get_user"]},
        {"environment": {"THREADS": 4}},
        {"limits": {"memory": "128Mi"}},
        {"secrets": ["api_keys"]},
        {"labels": {"com.openfaas.scale.zero": "true"}},
        {"labels": {"com.openfaas.scale.max": "6"}},
        {"annotations": {"com.openfaas.health.http.path": "/"}},
        {"annotations": {"topic": "one,two"}},
        {"image": "get-user"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_that_openfaas_would_ignore_or_refuse_are_an_error(
    changes: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "stack.yml"
    path.write_text(_stack_with())
    stack.read(path, {})
    path.write_text(_stack_with(**changes))
    with pytest.raises(pydantic.ValidationError):
        stack.read(path, {})


def test_names_are_dns_labels_and_functions_are_at_most_fifteen(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    document = yaml.load((CHECKOUT / "stack.yml").read_text(), yaml.CSafeLoader)
    function = document["functions"]["get-user"]
    too_many = {f"function-{number}": function for number in range(FUNCTIONS_MAX + 1)}
    for functions in ({"get_user": function}, too_many):
        path.write_text(yaml.safe_dump({**document, "functions": functions}))
        with pytest.raises(pydantic.ValidationError):
            stack.read(path, {})


def test_the_template_stays_committed_after_faas_cli_new() -> None:
    lines = (CHECKOUT / ".gitignore").read_text().splitlines()
    # `faas-cli new` appends missing lines at the end, which would undo the exception.
    assert {"template", "build", ".secrets"} <= set(lines)
    assert lines.index("!/template") > lines.index("template")
