"""pybitrix24 adds, reads, lists and batches; prints what it got. Arguments: host:port, code."""

import json
import sys

from pybitrix24 import Bitrix24

host, code = sys.argv[1:]
client = Bitrix24(host, user_id=1)
lead = {"fields": {"TITLE": "Lead & Co", "PHONE": [{"VALUE": "+7700", "VALUE_TYPE": "WORK"}]}}
added = client.call_webhook(code, "crm.lead.add", lead)["result"]
got = client.call_webhook(code, "crm.lead.get", {"id": added})["result"]
batch = client.call_batch_webhook(
    code,
    {
        "one": {"method": "crm.lead.get", "params": {"id": added}},
        "all": {"method": "crm.lead.list", "params": {"select": ["ID"], "filter": {">ID": 0}}},
    },
)["result"]["result"]
json.dump({"added": added, "got": got, "batch": batch}, sys.stdout)
