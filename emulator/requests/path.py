"""The path of a REST call: /rest/{user}/{code}/{method}, as loosely as the portal reads it."""

from emulator.errors import RestError
from emulator.http.webhooks import WEBHOOKS, Webhook
from emulator.portal import Portal


def locate(path: str, portal: Portal) -> tuple[Webhook, str]:
    """The webhook and the method in lower case; raises RestError for a path that has none.

    `.json`, a trailing slash and any case of the method are accepted, `//` by a switch.
    """
    if "//" in path and portal.settings.double_slash == "not_found":
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    steps = [step for step in path.split("/") if step][1:]
    if len(steps) < 2 or steps[0] != "1" or steps[1] not in WEBHOOKS:
        raise RestError("NO_AUTH_FOUND", "Wrong authorization data", 401)
    method = "/".join(steps[2:]).lower()
    return WEBHOOKS[steps[1]], method.removesuffix(".json").removesuffix(".xml")
