"""aiobitrix24 calls, selects and batches; prints what it got. Argument: the webhook."""

import asyncio
import json
import sys

from aiobitrix24 import bx24
from aiobitrix24._builders import BatchQuery


async def main() -> None:
    bx24.url(sys.argv[1])
    bx24.timeout(0)  # no pause before each request
    added = (await bx24.request("crm.lead.add", {"fields": {"TITLE": "Lead & Co"}})).json()
    lead = (await bx24.request("crm.lead.get", {"id": 1}, is_query_complex=True)).json()
    queries = [
        BatchQuery("get", "crm.lead.get", {"id": 1}),
        BatchQuery("move", "crm.lead.update", {"id": 1, "fields": {"STATUS_ID": "JUNK"}}),
    ]
    batch = (await bx24.batch_request(queries)).json()["result"]["result"]
    results = {"added": added["result"], "title": lead["result"]["TITLE"], "batch": batch}
    json.dump(results, sys.stdout)


asyncio.run(main())
