"""local/docker-compose.yml agrees with stack.yml and the code, and exposes nothing."""

import json
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from leadline import process
from leadline.runtime import secrets
from leadline.runtime.http.cross_site import Guard
from leadline.runtime.postgres import pool
from leadline.settings import settings
from local import passwords
from local.gateway.config import Config
from local.logins import table
from tests.deploy.manifests import of_kind
from tests.deploy.stacks import PROCESSES, STACK

CHECKOUT = Path(__file__).parents[2]
TEXT = (CHECKOUT / "local/docker-compose.yml").read_text(encoding="utf-8")
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")
#: The folder of the field map, next to the compose file.
FIELD_MAPS = "./mapping"
#: Settings that may differ: compose runs one replica of each, on its own machine.
COMPOSES_OWN = {"THREADS", "LEADLINE_AUTH"}


def _document() -> dict[str, Any]:
    filled = _VARIABLE.sub(lambda match: match[2] or "", TEXT).replace("$$", "$")
    return dict(yaml.load(filled, yaml.CSafeLoader))


COMPOSE = _document()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {
    name: service for name, service in SERVICES.items() if service["image"].startswith("ghcr.io/")
}
LASTING = {name for name, service in SERVICES.items() if service["restart"] != "no"}


@pytest.mark.parametrize("name", STACK.functions)
def test_a_function_is_built_and_named_as_in_the_stack(name: str) -> None:
    service, function = SERVICES[name], STACK.functions[name]
    assert service["image"] == function.image
    arguments = service["build"]["args"]
    assert arguments["FUNCTION"] == function.handler.removeprefix("./")
    assert arguments.items() >= function.build_args.items()


def test_processes_are_built_once_and_named_as_in_their_stack() -> None:
    (image,) = (function.image for function in PROCESSES.functions.values())
    users = {name for name, service in SERVICES.items() if service["image"] == image}
    assert users >= {"worker", "connector", "migrate"}
    builders = {name for name in users if "build" in SERVICES[name]}
    assert len(builders) == 1
    arguments = SERVICES[builders.pop()]["build"]["args"]
    assert (CHECKOUT / arguments["FUNCTION"] / "requirements.txt").exists()


def test_build_arguments_are_those_of_the_one_dockerfile() -> None:
    dockerfile = CHECKOUT / "template/leadline/Dockerfile"
    declared_args = set(re.findall(r"(?m)^ARG (\w+)", dockerfile.read_text()))
    for name, service in OURS.items():
        if build := service.get("build"):
            assert (CHECKOUT / "local" / build["context"]).resolve() == CHECKOUT
            assert (CHECKOUT / build["dockerfile"]) == dockerfile, name
            assert build["args"].keys() <= declared_args


@pytest.mark.parametrize("name", STACK.functions)
def test_compose_gives_each_function_the_environment_of_the_stack(name: str) -> None:
    environment = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    for key, value in STACK.functions[name].all_environment(CHECKOUT).items():
        if key not in COMPOSES_OWN:
            assert environment[key] == value, key


def test_the_example_offers_each_choice_with_its_default() -> None:
    example = (CHECKOUT / "local/.env.example").read_text(encoding="utf-8")
    offered = dict(re.findall(r"(?m)^#([A-Z_]+)=(.*)$", example))
    defaults = dict(_VARIABLE.findall(TEXT))
    assert offered.keys() == defaults.keys()
    # Except for those whose comment says that the default is another one.
    names = offered.keys() - {"BITRIX_WEBHOOK_URL", "LEADLINE_AUTH", "API_KEYS"}
    assert {name: offered[name] for name in names} == {name: defaults[name] for name in names}


def test_the_folder_of_field_maps_is_mounted_wherever_the_setting_is() -> None:
    for name, service in SERVICES.items():
        # A migration has all settings, and does not read the field map.
        if "LEADLINE_MAPPING" in (service.get("environment") or {}) and name != "migrate":
            assert f"{FIELD_MAPS}:/etc/leadline:ro" in service["volumes"], name


def test_every_foreign_image_may_be_replaced_or_pinned() -> None:
    images = {
        name: service["image"]
        for name, service in yaml.load(TEXT, yaml.CSafeLoader)["services"].items()
    }
    foreign = {image for name, image in images.items() if name not in OURS}
    assert len(foreign) == 4  # Python, Postgres, Redis and RabbitMQ
    assert all(_VARIABLE.fullmatch(image) for image in foreign)
    builds = [
        service["build"]
        for service in yaml.load(TEXT, yaml.CSafeLoader)["services"].values()
        if "build" in service
    ]
    assert {build["args"]["PYTHON_IMAGE"] for build in builds} == {
        "${PYTHON_IMAGE:-python:3.13-slim}"
    }


#: A docker that pulls nothing, and for `inspect` prints its fifth argument NAME:TAG as a digest.
_DOCKER = """#!/bin/sh
[ "$1" = pull ] || echo "${5%:*}@sha256:of-${5#*:}"
"""


def test_digests_are_printed_as_lines_for_the_environment_file(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = (CHECKOUT / "scripts/digests",)
    result = subprocess.run(command, check=True, env=env, capture_output=True, text=True)
    assert result.stdout.splitlines() == [
        "PYTHON_IMAGE=python@sha256:of-3.13-slim",
        "POSTGRES_IMAGE=postgres@sha256:of-17-alpine",
        "REDIS_IMAGE=redis@sha256:of-7-alpine",
        "RABBITMQ_IMAGE=rabbitmq@sha256:of-4-management",
    ]


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert {port.rpartition(":")[2] for port in published} == {"3000", "3024", "15672"}
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_long_running_service_is_probed_limited_and_restarted() -> None:
    for name in LASTING:
        service = SERVICES[name]
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"memory", "cpus"}, name
        assert service["logging"]["options"]["max-size"], name


def test_our_containers_have_no_rights_and_write_only_to_their_volumes() -> None:
    for name, service in OURS.items():
        assert service["read_only"] or name == "secrets", name
        assert service["cap_drop"] == ["ALL"]
        assert "tmpfs" not in service
        assert service.get("user") is None or name == "secrets"


def test_volumes_are_named_and_secrets_are_where_the_code_looks() -> None:
    for name, service in SERVICES.items():
        mounts = dict(volume.split(":")[:2] for volume in service.get("volumes", ()))
        mounts.pop(FIELD_MAPS, None)
        assert mounts.keys() <= COMPOSE["volumes"].keys(), name
        assert mounts.get("secrets", secrets.DEFAULT_FOLDER) == secrets.DEFAULT_FOLDER, name
        login = "owner" if name == "migrate" else table.PARTS.get(name)
        if login:
            assert [mount for mount in mounts if mount.startswith(("login-", "secrets"))] == [
                f"login-{login}"
            ], name
            assert mounts[f"login-{login}"] == secrets.DEFAULT_FOLDER, name


def test_a_container_sees_its_own_files_only() -> None:
    """A compromised container can read no passwords and no data of the others."""
    folders = passwords.Folders()
    mounted = defaultdict[str, dict[str, str]](dict)
    for name, service in SERVICES.items():
        for declared in service.get("volumes", ()):
            volume, folder, *mode = declared.split(":")
            mounted[volume][name] = ":".join((folder, *mode))
    maker = mounted.pop("servers")
    assert maker == {"secrets": str(folders.passwords)}
    assert mounted.pop("secrets") == {"secrets": secrets.DEFAULT_FOLDER}
    for server in ("postgres", "rabbitmq", "redis", "logins"):
        assert mounted.pop(f"server-{server}") == {
            "secrets": f"{folders.servers}/{server}",
            server: f"{passwords.SERVER_FOLDER}:ro",
        }
    ticks = mounted.pop("ticks")
    state = "/var/lib/leadline"
    assert ticks == {"relay": state, "cli": state, "edge": f"{state}:ro"}
    assert set(mounted.pop(FIELD_MAPS).values()) == {"/etc/leadline:ro"}
    for volume, services in mounted.items():
        others = services.keys() - {"secrets"}
        if volume.startswith("login-"):
            assert all(services[other] == f"{secrets.DEFAULT_FOLDER}:ro" for other in others)
            others = {table.PARTS.get(other, "owner") for other in others}
        assert len(others) == 1, volume


def test_each_server_gets_only_its_own_password(prepare: "Prepare") -> None:
    volumes = prepare()
    passwords = volumes["kept"]
    for server in ("postgres", "rabbitmq", "redis"):
        texts = " ".join(volumes[server].values())
        found = {key for key, password in passwords.items() if password in texts}
        assert found == {f"{server}-password"}


def test_an_upgrade_replaces_every_service_but_the_servers_and_the_published_port() -> None:
    """The container tcp-proxy holds that port, with Python's own image and a single script."""
    proxy = SERVICES["tcp-proxy"]
    assert proxy["ports"] == ["127.0.0.1:3000:3000"]
    assert proxy["image"] == "python:3.13-slim"
    assert "ports" not in SERVICES["edge"]
    assert proxy["command"][2] == f"edge:{SERVICES['edge']['environment']['PORT']}"
    script = (CHECKOUT / "scripts/upgrade").read_text(encoding="utf-8")
    loops = re.findall(r"for service in ([^;]*); do", script.replace("\\\n", ""))
    replaced = {*" ".join(loops).split(), *re.findall(r"(?m)^replace ([\w-]+)$", script)}
    servers = {"postgres", "redis", "rabbitmq"}
    assert replaced == LASTING - servers - {"tcp-proxy"}


def test_the_edge_container_knows_neither_the_webhook_nor_a_clients_key() -> None:
    assert set(table.by_name(table.PARTS["edge"]).other_secrets) == {"internal-key"}
    for webhook, output in (("", ""), ("https://portal.example/rest/1/code/", "unused")):
        raw = _raw("edge")["environment"]["EMULATOR"]
        assert _fill(raw, {"BITRIX_WEBHOOK_URL": webhook}) == output


def test_no_variable_of_a_container_is_a_secret() -> None:
    """`docker inspect` would show it; secrets come as files, by volumes and configs."""
    for name, service in SERVICES.items():
        variables = service.get("environment", {})
        telling = re.compile(
            r"WEBHOOK|KEYS?$|(?:PASSWORD|SECRET|TOKEN)$|(?:DATABASE|AMQP|REDIS)_URL$"
        )
        assert not [variable for variable in variables if telling.search(variable)], name
    entered = {name for name, config in COMPOSE["configs"].items() if "content" in config}
    assert set(SERVICES["secrets"]["configs"]) == entered


def test_the_edge_has_the_address_of_every_function() -> None:
    edge = Config.parse(json.loads((CHECKOUT / "local/compose.edge.json").read_text()))
    assert edge.functions == {name: f"http://{name}:8080" for name in STACK.functions}
    assert edge.emulator
    assert passwords.EMULATOR.startswith(edge.emulator)
    assert edge.relay
    assert str(edge.relay.tick) in SERVICES["relay"]["command"]


def test_postgres_logs_no_row() -> None:
    (stateful,) = (
        document
        for document in of_kind("StatefulSet")
        if document["metadata"]["name"] == "postgres"
    )
    in_cluster = stateful["spec"]["template"]["spec"]["containers"][0]["args"]
    # Otherwise the details of an error quote the row.
    for command in (SERVICES["postgres"]["command"], in_cluster):
        assert "log_error_verbosity=terse" in command


def test_redis_evicts_nothing() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


@pytest.mark.parametrize(
    ("variables", "auth"),
    [
        ({}, "off"),
        ({"BITRIX_WEBHOOK_URL": "https://portal.example/rest/1/code/"}, "on"),
        ({"LEADLINE_AUTH": "on"}, "on"),
        ({"LEADLINE_AUTH": "off", "BITRIX_WEBHOOK_URL": "https://portal.example/"}, "off"),
    ],
)
def test_a_real_portal_turns_keys_on(variables: dict[str, str], auth: str) -> None:
    for name in OURS:
        file = CHECKOUT / "local" / _fill(_raw(name)["env_file"], variables)
        assert file.read_text(encoding="utf-8") == f"LEADLINE_AUTH={auth}\n", name
        assert "LEADLINE_AUTH" not in SERVICES[name].get("environment", {}), name


def _raw(name: str) -> dict[str, Any]:
    return dict(yaml.load(TEXT, yaml.CSafeLoader)["services"][name])


def _fill(text: str, variables: dict[str, str]) -> str:
    """Expand variables as compose does, the innermost first: `:-` for a default, `:+` if set."""
    inner = re.compile(r"\$\{(\w+):([-+])([^${}]*)\}")

    def fill(match: re.Match[str]) -> str:
        value = variables.get(match[1], "")
        if match[2] == "-":
            return value or match[3]
        return match[3] if value else ""

    while inner.search(text):
        text = inner.sub(fill, text)
    return text


def test_edge_emulator_and_functions_accept_the_host_names_of_containers() -> None:
    for name in ("edge", "bitrix24", *STACK.functions):
        guard = Guard.from_env(
            {"ALLOWED_HOSTS": str(SERVICES[name]["environment"]["ALLOWED_HOSTS"])}
        )
        # The edge passes on the Host that it was called with.
        assert guard == Guard(frozenset({name, "edge"} if name in STACK.functions else {name}))


Prepare = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Creates the secrets; returns the files of each login and server, of `kept` and of `all`."""
    folders = passwords.Folders(*(tmp_path / name for name in ("kept", "servers", "logins", "all")))
    for folder in (folders.passwords, folders.servers, folders.logins, folders.all_secrets):
        folder.mkdir()

    def run(webhook: str = "", keys: str = "") -> dict[str, dict[str, str]]:
        passwords.prepare(folders, webhook, keys)
        seen = [
            *(folders.passwords, folders.all_secrets),
            *(*folders.servers.iterdir(), *folders.logins.iterdir()),
        ]
        return {
            folder.name: {item.name: item.read_text() for item in folder.iterdir()}
            for folder in seen
        }

    return run


def test_every_secret_is_created_once(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    # The value that the functions get.
    cleartext = SERVICES["create-user"]["environment"]["LEADLINE_CLEARTEXT"]
    monkeypatch.setenv("LEADLINE_CLEARTEXT", cleartext)
    process.forget(settings)
    volumes = prepare()
    declared = {name for function in STACK.functions.values() for name in function.secrets}
    assert volumes["all"].keys() >= declared
    assert volumes["all"]["bitrix-webhook-url"] == passwords.EMULATOR
    password = volumes["kept"]["postgres-writer"]
    assert password in volumes["writer"]["database-url-writer"]
    pool.Database(volumes["writer"]["database-url-writer"]).close()
    repeat = prepare()
    # It holds hashes of the passwords, with another salt each time: only the logins are compared.
    before, after = (files["rabbitmq"].pop("rabbitmq.json") for files in (volumes, repeat))
    assert before.count("leadline_") == after.count("leadline_")
    assert repeat == volumes


def test_an_emptied_password_is_replaced(prepare: Prepare, tmp_path: Path) -> None:
    volumes = prepare()
    emptied = [tmp_path / "kept" / name for name in volumes["kept"]]
    emptied.append(tmp_path / "all/api-keys")
    for path in emptied:
        path.write_text("\n")
    prepare()
    for path in emptied:
        assert len(path.read_text()) >= 32, path


@pytest.mark.parametrize("name", STACK.functions)
def test_a_login_gets_its_functions_secrets_and_no_password_of_others(
    prepare: Prepare, name: str
) -> None:
    volumes = prepare()
    login = table.PARTS[name]
    assert volumes[login].keys() >= set(STACK.functions[name].secrets)
    servers = {"database-url": "postgres", "amqp-url": "rabbitmq", "redis-url": "redis"}
    expected = {f"{servers[address]}-{login}" for address in table.by_name(login).url_secrets}
    texts = " ".join(volumes[login].values())
    passwords = volumes["kept"]
    assert {key for key, password in passwords.items() if password in texts} == expected


def test_the_operators_own_files_are_updated_at_each_start(prepare: Prepare) -> None:
    before = prepare()["all"]
    after = prepare(webhook="https://portal.example/rest/1/code/", keys="old new")["all"]
    assert after["bitrix-webhook-url"] == "https://portal.example/rest/1/code/"
    assert after["api-keys"] == "old new"
    assert after["database-url-owner"] == before["database-url-owner"]


@pytest.fixture
def operator_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the operator's files, empty as docker compose makes it."""
    monkeypatch.setattr(passwords, "CONFIGS", tmp_path)
    for name in COMPOSE["configs"]:
        (tmp_path / name).write_text("\n")
    return tmp_path


def test_keys_without_authentication_are_an_error(
    operator_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (operator_folder / "api-keys").write_text("key-of-somebody\n")
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    assert passwords.main() == 1
    assert "key-of-somebody" not in capsys.readouterr().err


@pytest.mark.usefixtures("operator_folder")
def test_a_generated_key_can_be_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(passwords, "prepare", lambda *_: None)
    monkeypatch.setenv("LEADLINE_AUTH", "on")
    assert passwords.main() == 0
    (command,) = re.findall(r"docker compose .+", capsys.readouterr().out)
    mentioned = (CHECKOUT / "docs/deploy/compose.md", CHECKOUT / "docs/access.md")
    for page in mentioned:
        assert command in page.read_text(encoding="utf-8"), page


def test_the_guide_names_the_variable_of_each_published_port() -> None:
    """Docker's error names only the port that is taken."""
    guide = (CHECKOUT / "docs/deploy/compose.md").read_text(encoding="utf-8")
    published = [
        port
        for service in yaml.load(TEXT, yaml.CSafeLoader)["services"].values()
        for port in service.get("ports", ())
    ]
    for port in published:
        ((variable, default),) = _VARIABLE.findall(port)
        assert f"`{variable}` ({default})" in guide


def test_an_invalid_webhook_is_refused_at_startup_and_not_quoted(
    operator_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (operator_folder / "bitrix-webhook-url").write_text("secret-but-no-url\n")
    assert passwords.main() == 1
    output = capsys.readouterr().err
    assert "BITRIX_WEBHOOK_URL" in output
    assert "secret-but-no-url" not in output
