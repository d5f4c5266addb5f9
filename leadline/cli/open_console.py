"""`leadline open`: the console in a browser, or its URL."""

import os
import sys
import webbrowser
from typing import Annotated, Literal
from urllib.parse import urlsplit

import typer

from leadline.cli.output import Json, print_json, print_line, print_note
from leadline.errors import BadConfiguration, InvalidRequest

#: The console's URL as a browser reaches it.
VARIABLE = "LEADLINE_CONSOLE_URL"

What = Literal["user"]


def open_console(
    what: Annotated[What | None, typer.Argument(help="`user`, followed by its id.")] = None,
    user_id: Annotated[
        int | None, typer.Argument(min=1, max=2**63 - 1, metavar="ID", help="The user's id.")
    ] = None,
    *,
    only_print: Annotated[bool, typer.Option("--print", help="Only print the URL.")] = False,
    json: Json = False,
) -> None:
    """Open the console in a browser.

    Prints the URL, and opens it where a browser is. The console's URL is that of the local run, or
    LEADLINE_CONSOLE_URL.

    Examples:
        leadline open
        leadline open user 42
        leadline open user 42 --print
    """
    if (what is None) != (user_id is None):
        raise InvalidRequest("`open user` needs an id: leadline open user 42")
    url = page_url(user_id)
    is_opened = not only_print and not json and _open(url)
    print_json({"url": url, "opened": is_opened}) if json else print_line(url)
    if not is_opened and not only_print and not json:
        print_note("no browser here: open the URL on your machine")


def page_url(user_id: int | None) -> str:
    """The URL of the console, or of a user in it.

    Raises:
        BadConfiguration: the console's URL is not known, or is no URL.
    """
    base = os.environ.get(VARIABLE, "").strip()
    if not base:
        raise BadConfiguration(f"set {VARIABLE} to the console's URL, as a browser reaches it")
    parts = urlsplit(base)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise BadConfiguration(f"{VARIABLE} must be a URL: https://leads.example.com/console")
    console = base.partition("#")[0].rstrip("/")
    return console if user_id is None else f"{console}#/users/{user_id}"


def _open(url: str) -> bool:
    """Open the URL in a browser; returns False if there is none, or no window for it."""
    has_window = sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
    )
    if not (has_window and sys.stdout.isatty()):
        return False
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
