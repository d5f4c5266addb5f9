"""The board's files and its live data."""

from aiohttp import web


def routes() -> list[web.RouteDef]:
    """What the board's page asks for."""
    return []
