"""Definitions of the logins in RabbitMQ."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local.logins.table import LOGINS, OWNER, REPLIES, REQUESTS, Permissions

_ALL = Permissions(".*", ".*", ".*")


def definitions(
    passwords: Mapping[str, str],
    vhost: str = "/",
    owner_password: str | None = None,
    reply_queues: str = "",
) -> dict[str, Any]:
    """A definitions file with all logins; passwords by login, `reply_queues` separated by
    commas, as in the setting.

    https://www.rabbitmq.com/docs/definitions. With the owner's password it is complete for a new
    node: only the owner has a tag, and thus access to the management page.
    """
    foreign_queues = sorted({name.strip() for name in reply_queues.split(",")} - {"", REPLIES})
    users: list[tuple[str, str, list[str], Permissions]] = [
        (login.user, passwords[login.name], [], _with_replies(login.name, rights, foreign_queues))
        for login in LOGINS
        if (rights := login.rabbitmq) is not None
    ]
    if owner_password is not None:
        users.append((OWNER, owner_password, ["administrator"], _ALL))
    return {
        **({} if owner_password is None else {"vhosts": [{"name": vhost}]}),
        "users": [_user(name, password, tags) for name, password, tags, _ in users],
        "permissions": [
            {
                "user": name,
                "vhost": vhost,
                "configure": rights.configure,
                "write": rights.write,
                "read": rights.read,
            }
            for name, _, _, rights in users
        ],
    }


def credential_secrets(passwords: Mapping[str, str]) -> str:
    """Kubernetes Secrets that the Users of the Messaging Topology Operator import, as YAML.

    https://www.rabbitmq.com/kubernetes/operator/using-topology-operator#users-permissions. They
    name no namespace, so they get the release's. The operator reads Secrets with its label only,
    and its webhook refuses a User whose Secret has none (`TopologyOperatorLabel` in
    api/v1beta1/labels.go of https://github.com/rabbitmq/messaging-topology-operator).
    """
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"rabbitmq-user-{login.name}",
                "labels": {"rabbitmq.com/topology-operator": "true"},
            },
            "stringData": {"username": login.user, "password": passwords[login.name]},
        }
        for login in LOGINS
        if login.rabbitmq is not None
    ]
    return "".join(f"---\n{json.dumps(secret)}\n" for secret in secrets)


def _with_replies(login: str, rights: Permissions, foreign_queues: list[str]) -> Permissions:
    """The rights of a login, extended if replies may go to queues other than ours.

    Those belong to another system and have no exchange of ours: only the default one reaches them.
    Operators, the command line and erasures also read their dead letters.
    """
    if foreign_queues and login == "worker":
        return replace(rights, write=rf"^({re.escape(REPLIES)}|amq\.default)$")
    if foreign_queues and login in {"operator", "cli", "relay"}:
        names = "|".join(map(re.escape, (REQUESTS, REPLIES, *foreign_queues)))
        # Each of these patterns begins with a group of names, to which one is added.
        write = rights.write.replace("^(", r"^(amq\.default|", 1)
        return replace(rights, write=write, read=rf"^({names})\.dead$")
    return rights


def _user(name: str, password: str, tags: list[str]) -> dict[str, Any]:
    """https://www.rabbitmq.com/docs/passwords#computing-password-hash."""
    salt = os.urandom(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }
