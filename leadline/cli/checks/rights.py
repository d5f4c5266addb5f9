"""The rights of our logins at Postgres and Redis that Leadline does not need."""

from typing import Any

import redis

from leadline.runtime.postgres.pool import database
from leadline.runtime.redis import client, reachable

#: Rights of a login that only migrations and administrators need.
_RIGHTS = """
SELECT rolname AS name, rolsuper AS superuser, rolcreatedb AS "creates databases",
       rolcreaterole AS "creates roles", rolreplication AS replication,
       COALESCE(pg_has_role(rolname, relowner, 'MEMBER'), false) AS "owns the tables"
FROM pg_roles LEFT JOIN pg_class ON pg_class.oid = to_regclass('users')
WHERE rolname = current_user
"""
#: Commands of Redis that Leadline does not need.
_ADMIN_COMMANDS = ("FLUSHALL", "KEYS *", "CONFIG SET maxmemory 0", "ACL SETUSER default")
#: Checks without trying, since each attempt would be logged in `ACL LOG`. A command that a
#: provider has removed is an error here, and cannot be run.
_ALLOWED_ADMIN_COMMANDS = f"""
local found = {{}}
for _, command in ipairs({{{", ".join(f"'{command}'" for command in _ADMIN_COMMANDS)}}}) do
  local words = {{}}
  for word in string.gmatch(command, '%S+') do table.insert(words, word) end
  local ok, may = pcall(redis.acl_check_cmd, unpack(words))
  if ok and may then table.insert(found, words[1]) end
end
return redis.acl_check_cmd and found or redis.error_reply('ERR before Redis 7')
"""


def postgres() -> tuple[str, list[str]]:
    """The login's name, and the rights it has that Leadline does not need."""
    (row,) = database().run(_RIGHTS)
    return str(row.pop("name")), [right for right, has_it in row.items() if has_it]


@reachable()
def redis_() -> tuple[str, list[str]]:
    """The login's name at Redis, and the commands it may run that Leadline does not need.

    Redis reports them since version 7; before, `default` counts as allowed to run every command.
    """
    try:
        name = str(client().acl_whoami())
    except redis.exceptions.NoPermissionError:
        name = "a login with restricted rights"
    except redis.ResponseError:  # before Redis 6 there are no users
        name = "default"
    try:
        allowed: list[Any] = client().evalsha(client().script_load(_ALLOWED_ADMIN_COMMANDS), 0)
    except redis.ResponseError:
        return name, ["every command"] if name == "default" else []
    surplus = [command.decode() if isinstance(command, bytes) else command for command in allowed]
    return name, ["every command"] if len(surplus) == len(_ADMIN_COMMANDS) else surplus
