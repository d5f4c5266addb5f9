"""SQL that creates the logins in Postgres."""

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
    """Statements for the owner: create the missing logins, and set these passwords (by login).

    Neither names nor passwords need quoting: we generate them. The groups get their rights from the
    migrations, which may run before or after.
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
