"""On every container platform the command line can run in a workload, which the guide names."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from leadline.cli.commands import COMMANDS
from local.logins import table
from tests.deploy.manifests import CHECKOUT, DEPLOY, documents, workloads
from tests.deploy.test_agreement import secrets_read_by

#: Guides of Kubernetes, each with the namespace of the command line.
GUIDES = {"knative": "leadline", "openfaas": "openfaas-fn"}
#: Only connector and schedule send this key.
NOT_READ = {"internal-key"}


def _function(guide: str) -> str:
    """The shell function `leadline` of a guide."""
    text = (CHECKOUT / "docs/deploy" / f"{guide}.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n\s*(leadline\(\) \{.*?\})\n\s*```", text, re.DOTALL)
    assert found, f"{guide}.md defines no function leadline()"
    return found[1]


def _arguments(guide: str, tool: str, tmp_path: Path, *arguments: str) -> list[str]:
    """The arguments that the guide's function passes to `kubectl` or `docker`."""
    stub = tmp_path / tool
    stub.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n', encoding="utf-8")
    stub.chmod(0o755)
    ran = subprocess.run(
        [
            shutil.which("bash") or "bash",
            "-c",
            f'{_function(guide)}\nleadline "$@"',
            "-",
            *arguments,
        ],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PWD": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout.splitlines()


def test_the_command_line_pod_has_every_secret_that_a_command_reads() -> None:
    # The table of commands imports each command by its name.
    read = [secrets_read_by(path) for path in (CHECKOUT / "leadline/cli").rglob("*.py")]
    needed = set[str]().union(*read) - NOT_READ
    login = table.by_name(table.PARTS["cli"])
    assert workloads()["cli"].secrets == {
        login.secret(secret) if secret in table.URL_SECRETS else secret for secret in needed
    }


def test_checkpoints_have_a_writable_folder_under_the_read_only_root() -> None:
    cli = workloads()["cli"]
    assert cli.body["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"]: mount["name"] for mount in cli.body["volumeMounts"]}
    (volume,) = (
        volume
        for volume in cli.pod["volumes"]
        if volume["name"] == mounts[cli.env["LEADLINE_STATE"]]
    )
    assert "emptyDir" in volume


@pytest.mark.parametrize(("guide", "namespace"), GUIDES.items())
def test_a_guide_names_a_command_that_runs_in_its_pod(
    guide: str, namespace: str, tmp_path: Path
) -> None:
    (deployment,) = documents(DEPLOY / "base/500-cli.yaml")
    passed = _arguments(guide, "kubectl", tmp_path, "audit", "--user", "two words")
    # Without a terminal there is no -t, which would change the line ends of a redirected output.
    assert passed == [
        *("-n", namespace, "exec", "-i", f"deploy/{deployment['metadata']['name']}", "--"),
        *("python", "-m", "leadline", "audit", "--user", "two words"),
    ]


def test_faasd_runs_the_command_line_with_its_logins_and_a_folder_for_checkpoints(
    tmp_path: Path,
) -> None:
    passed = _arguments("faasd", "docker", tmp_path, "reconcile")
    variables = {passed[at + 1] for at, word in enumerate(passed) if word == "-e"}
    assert variables == {f"{name}={value}" for name, value in workloads()["cli"].env.items()}
    assert passed[-4:] == ["python", "-m", "leadline", "reconcile"]
    volumes = [passed[at + 1] for at, word in enumerate(passed) if word == "-v"]
    folder = workloads()["cli"].env["LEADLINE_STATE"]
    assert [volume.split(":")[1] for volume in volumes] == ["/var/openfaas/secrets", folder]


@pytest.mark.parametrize("guide", [*GUIDES, "faasd"])
def test_the_commands_that_a_guide_names_exist(guide: str) -> None:
    text = (CHECKOUT / "docs/deploy" / f"{guide}.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"`leadline ([a-z-]+)", text))
    assert {"doctor", "failed", "resync", "reconcile", "dead-letters"} <= commands <= set(COMMANDS)
