"""The logins in Postgres' words."""

from collections.abc import Iterator, Mapping

from local.logins.table import LOGINS

_GROUP = """\
DO $$ BEGIN
    CREATE ROLE {group} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""
_LOGIN = """\
DO $$ BEGIN
    CREATE ROLE {user} LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$"""


def statements(passwords: Mapping[str, str]) -> Iterator[str]:
    """What the owner runs to make all logins, or to give them these passwords; by login.

    Neither names nor passwords need quoting: they are ours. The groups get their rights from the
    migrations, whichever comes first.
    """
    logins = {login: login.groups for login in LOGINS if login.groups is not None}
    for group in dict.fromkeys(group for groups in logins.values() for group in groups):
        yield _GROUP.format(group=group)
    for login, groups in logins.items():
        yield _LOGIN.format(user=login.user)
        yield f"ALTER ROLE {login.user} PASSWORD '{passwords[login.name]}'"
        for group in groups:
            yield f"GRANT {group} TO {login.user}"


def script(passwords: Mapping[str, str]) -> str:
    """The statements for psql."""
    return "".join(f"{statement};\n" for statement in statements(passwords))
