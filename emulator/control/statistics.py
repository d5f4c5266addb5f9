"""Counts and oracles: what a test or a person asks to judge a client."""

from typing import Any

from aiohttp import web

from emulator.control.json_body import answer
from emulator.portal import Portal
from emulator.requests.endpoint import PORTAL

_DUPLICATES = """
SELECT json_extract(data, '$.ORIGINATOR_ID'), json_extract(data, '$.ORIGIN_ID') AS origin,
       group_concat(id) FROM lead
WHERE coalesce(json_extract(data, '$.ORIGIN_ID'), '') <> ''
GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2
"""
_PHONE_ROWS = """
SELECT rows, count(*) FROM (
    SELECT count(multifield.id) AS rows FROM lead
    LEFT JOIN multifield ON lead_id = lead.id AND type_id = 'PHONE' GROUP BY lead.id)
GROUP BY rows ORDER BY rows
"""


async def calls(request: web.Request) -> web.Response:
    """GET: how many requests and commands there were."""
    counted = request.app[PORTAL].calls
    return answer(
        {
            "requests": counted.requests,
            "commands": counted.commands,
            "refused": counted.refused,
            "methods": dict(counted.methods),
            "times": counted.times,
        }
    )


async def duplicates(request: web.Request) -> web.Response:
    """GET: origins with more than one lead."""
    rows = request.app[PORTAL].store.db.execute(_DUPLICATES)
    return answer(
        [
            {
                "ORIGINATOR_ID": originator,
                "ORIGIN_ID": origin,
                "leads": sorted(ids.split(","), key=int),
            }
            for originator, origin, ids in rows
        ]
    )


async def phones(request: web.Request) -> web.Response:
    """GET: how many leads have how many phone rows."""
    rows = request.app[PORTAL].store.db.execute(_PHONE_ROWS)
    return answer({str(count): leads for count, leads in rows})


async def rate(request: web.Request) -> web.Response:
    """GET: requests, refusals and commands second by second, buckets and budgets now."""
    portal = request.app[PORTAL]
    return answer({**now(portal), "seconds": [_second(each) for each in portal.calls.seconds]})


async def totals(request: web.Request) -> web.Response:
    """GET: late commits, answers by status, verbs seen, events sent."""
    portal = request.app[PORTAL]
    return answer(
        {
            "leads": portal.store.count("", ()),
            "late_commits": portal.calls.late_commits,
            "answers": dict(portal.calls.statuses),
            "verbs": dict(portal.calls.http),
            "events": {"sent": portal.announcer.sent, "failed": portal.announcer.failed},
        }
    )


def now(portal: Portal) -> dict[str, Any]:
    """The limits in force and how much of them is used."""
    rates = portal.rates()
    return {
        "limits": {
            name: {"per_s": each.per_s, "burst": each.burst} for name, each in rates.items()
        },
        "levels": portal.buckets.levels(portal.clock.now(), rates, portal.settings),
        "operating": portal.meters.totals(),
    }


def _second(counts: list[int]) -> dict[str, int]:
    return dict(zip(("time", "requests", "refused", "commands"), counts, strict=True))
