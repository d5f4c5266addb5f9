"""ACL rules of the logins in Redis."""

import hashlib
from collections.abc import Iterator, Mapping

from local.logins.table import LOGINS


def users(passwords: Mapping[str, str]) -> Iterator[str]:
    """Users for redis.conf, an ACL file, or `ACL SETUSER`; `passwords` by login, hashed here.

    https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/.
    """
    for login in LOGINS:
        if login.redis is not None:
            digest = hashlib.sha256(passwords[login.name].encode()).hexdigest()
            yield f"{login.user} reset on #{digest} {login.redis}"
