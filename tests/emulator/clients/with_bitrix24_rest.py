"""bitrix24-rest adds leads and reads all pages; prints what it got. Argument: the webhook."""

import asyncio
import json
import sys

from bitrix24 import Bitrix24, BitrixError


async def main() -> None:
    client = Bitrix24(sys.argv[1])
    fields = {"TITLE": "Lead", "PHONE": [{"VALUE": "7700", "VALUE_TYPE": "WORK"}]}
    added = [await client.callMethod("crm.lead.add", {"fields": fields}) for _ in range(60)]
    contact = await client.callMethod("crm.item.add", {"entityTypeId": 3, "fields": {"name": "A"}})
    listed = await client.callMethod("crm.lead.list", {"select": ["ID"], "filter": {">ID": 0}})
    try:
        await client.callMethod("crm.lead.get", {"id": 999_999})
        refused = ""
    except BitrixError as error:
        refused = str(error)
    results = {"added": added, "contact": contact, "listed": listed, "refused": refused}
    json.dump(results, sys.stdout)


asyncio.run(main())
