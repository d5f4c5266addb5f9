"""What a login of RabbitMQ may do beyond its permissions: its tags.

https://www.rabbitmq.com/docs/management#permissions. AMQP does not show them, the management API
does: it is looked for at the broker's host and at its usual ports, by TLS where AMQP uses TLS.
"""

import base64
import http.client
import json

import pika

from leadline.runtime.rabbitmq import connection as broker

PORT, TLS_PORT = 15672, 15671
_TIMEOUT_S = 3
#: Of a user without tags the API says no more than that.
_NO_TAGS = 401
#: Tags that let a login change the broker or send in another's name.
_POWERS = ("administrator", "policymaker", "impersonator")


def login(url: str) -> str:
    """Whose login this address holds."""
    return str(_credentials(broker.parameters(url)).username)


def surplus(url: str) -> list[str] | None:
    """Tags of this login that no part of ours needs; None where the API can't be asked."""
    parameters = broker.parameters(url)
    tags = _tags(parameters)
    return None if tags is None else [tag for tag in _POWERS if tag in tags]


def _tags(parameters: pika.URLParameters) -> list[str] | None:
    credentials = _credentials(parameters)
    pair = f"{credentials.username}:{credentials.password}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    connection = _connection(parameters)
    try:
        connection.request("GET", "/api/whoami", headers=headers)
        answer = connection.getresponse()
        if answer.status == _NO_TAGS:
            return []
        told = json.loads(answer.read(64 * 1024))["tags"] if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
    # Until RabbitMQ 3.9 a text with commas.
    return told.split(",") if isinstance(told, str) else told


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
