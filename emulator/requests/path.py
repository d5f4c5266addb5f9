"""The path of a REST call, /rest/{user}/{code}/{method}, parsed as leniently as the portal does."""

from emulator.errors import RestError
from emulator.http.webhooks import WEBHOOKS, Webhook
from emulator.portal import Portal


def parse_path(path: str, portal: Portal) -> tuple[Webhook, str]:
    """The webhook and the lower-case method; raises RestError if the path names no webhook.

    `.json`, a trailing slash and the method in any case are accepted; `//` depends on the setting
    `double_slash`.
    """
    if "//" in path and portal.settings.double_slash == "not_found":
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    _, *steps = (step for step in path.split("/") if step)  # without `rest`
    user, code = [*steps, "", ""][:2]
    webhook = WEBHOOKS.get(code)
    if webhook is None or user != str(webhook.user):
        raise RestError("NO_AUTH_FOUND", "Wrong authorization data", 401)
    method = "/".join(steps[2:]).lower()
    return webhook, method.removesuffix(".json").removesuffix(".xml")
