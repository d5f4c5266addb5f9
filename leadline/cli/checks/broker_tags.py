"""The tags of a RabbitMQ login, which grant rights beyond its permissions.

https://www.rabbitmq.com/docs/management#permissions. AMQP does not show them; the management
API does. It is expected at the broker's host and the default ports, with TLS if AMQP uses TLS.
"""

import base64
import http.client
import json

import pika

from leadline.runtime.rabbitmq import connection as broker

#: RabbitMQ's default ports of the management API.
PORT, TLS_PORT = 15672, 15671
_TIMEOUT_S = 3
#: The response for a user without tags.
_NO_TAGS = 401
#: Tags that let a login administer the broker or publish as another user.
_PRIVILEGED = ("administrator", "policymaker", "impersonator")


def login(url: str) -> str:
    """The login in this URL."""
    return str(_credentials(broker.parameters(url)[0]).username)


def surplus(url: str) -> list[str] | None:
    """Tags of this login that Leadline does not need; None if the API can't be reached."""
    tags = next(
        (tags for node in broker.parameters(url) if (tags := _tags(node)) is not None), None
    )
    return None if tags is None else [tag for tag in _PRIVILEGED if tag in tags]


def _tags(parameters: pika.URLParameters) -> list[str] | None:
    """All tags of the login, by the API of this node; None if the API does not tell."""
    credentials = _credentials(parameters)
    pair = f"{credentials.username}:{credentials.password}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    connection = _connection(parameters)
    try:
        connection.request("GET", "/api/whoami", headers=headers)
        answer = connection.getresponse()
        if answer.status == _NO_TAGS:
            return []
        tags = json.loads(answer.read(64 * 1024))["tags"] if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
    # Until RabbitMQ 3.9 a comma-separated text.
    return tags.split(",") if isinstance(tags, str) else tags


def _connection(parameters: pika.URLParameters) -> http.client.HTTPConnection:
    if not parameters.ssl_options:
        return http.client.HTTPConnection(parameters.host, PORT, timeout=_TIMEOUT_S)
    context = parameters.ssl_options.context
    return http.client.HTTPSConnection(
        parameters.host, TLS_PORT, context=context, timeout=_TIMEOUT_S
    )


def _credentials(parameters: pika.URLParameters) -> pika.PlainCredentials:
    credentials: pika.PlainCredentials = parameters.credentials
    return credentials
