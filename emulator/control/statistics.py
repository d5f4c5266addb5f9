"""Counts of calls, and oracles: answers that show whether a client is right."""

from typing import Any

from aiohttp import web

from emulator.control.json_body import json_response
from emulator.entities.entity import LEAD
from emulator.portal import Portal
from emulator.requests.endpoint import PORTAL

#: Origins that several leads have, with the ids of these leads.
_DUPLICATES = """
SELECT json_extract(data, '$.ORIGINATOR_ID'), json_extract(data, '$.ORIGIN_ID') AS origin,
       group_concat(id) FROM lead
WHERE coalesce(json_extract(data, '$.ORIGIN_ID'), '') <> ''
GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 1, 2
"""
#: How many leads (entity 1) have how many phones.
_PHONE_ROWS = """
SELECT rows, count(*) FROM (
    SELECT count(multifield.id) AS rows FROM lead
    LEFT JOIN multifield ON owner_id = lead.id AND entity = 1 AND type_id = 'PHONE'
    GROUP BY lead.id)
GROUP BY rows ORDER BY rows
"""


async def calls(request: web.Request) -> web.Response:
    """GET: how many requests and commands there were, by method, and when each request arrived."""
    counted = request.app[PORTAL].counts
    return json_response(
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
    return json_response(
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
    """GET: how many leads have no phone row, how many have one, and so on."""
    rows = request.app[PORTAL].store.db.execute(_PHONE_ROWS)
    return json_response({str(count): leads for count, leads in rows})


async def rate(request: web.Request) -> web.Response:
    """GET: requests, refusals and commands per second, and the current buckets and budgets."""
    portal = request.app[PORTAL]
    return json_response(
        {**current_limits(portal), "seconds": [_second(second) for second in portal.counts.seconds]}
    )


async def totals(request: web.Request) -> web.Response:
    """GET: late commits, answers by status, verbs seen, events sent."""
    portal = request.app[PORTAL]
    return json_response(
        {
            "leads": portal.store.count(LEAD),
            "late_commits": portal.counts.late_commits,
            "answers": dict(portal.counts.statuses),
            "verbs": dict(portal.counts.http),
            "events": {
                "sent": portal.events.sent,
                "failed": portal.events.failed,
                "slow": portal.events.penalties(),
            },
        }
    )


def current_limits(portal: Portal) -> dict[str, Any]:
    """The request limits, how full each bucket is, and the execution time used per method."""
    rates = portal.rates()
    return {
        "limits": {
            name: {"per_s": rate.per_s, "burst": rate.burst} for name, rate in rates.items()
        },
        "levels": portal.buckets.levels(portal.clock.now(), rates, portal.settings),
        "operating": portal.meters.totals(),
    }


def _second(counts: list[int]) -> dict[str, int]:
    return dict(zip(("time", "requests", "refused", "commands"), counts, strict=True))
