"""On the PYTHONPATH of the bench's processes: they trust the portal's private CA, and no other.

The client of Bitrix24 takes no CAs from its environment: a variable must not decide where a
webhook is sent.
"""

import os

import certifi

_authority = os.environ["BENCH_AUTHORITY"]
certifi.where = lambda: _authority
