"""Searches ignore accents: `петр` finds Пётр, and `novak` finds Novák.

A name or text with accents gets a second search term, without them. Terms are a set, so the
previous version finds what it found before: it checks each candidate against `users`.

For a database in use: no statement holds a lock for longer than a moment. The terms of existing
users are entered in batches, each in a transaction of its own; meanwhile the relay may index
between two of them. After an interruption the migration can be run again.
"""

import runpy
from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

#: Users whose terms are entered at a time.
BATCH = 20_000

# Letters that Unicode does not decompose: l, d, o and h with stroke, dotless i, final
# sigma. Then combining marks, which have no counterpart.
_LETTERS = "\u0142\u0111\u00f8\u0127\u0131\u03c2"
_PLAIN_LETTERS = "ldohi\u03c3"
_MARKS = (
    "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u0309\u030a\u030b\u030c"
    "\u031b\u0323\u0326\u0327\u0328\u0331\u0342\u0345"
)


def plain(expression: str) -> str:
    """SQL for this text in lower case and without accents, as in `users.filters.plain`."""
    # \u0439 is a letter of its own, not an accented \u0438.
    decomposed = f"replace(normalize(lower({expression}), NFD), '\u0438\u0306', '\u0439')"
    letters = f"translate({decomposed}, '{_LETTERS}{_MARKS}', '{_PLAIN_LETTERS}')"
    return f"replace({letters}, '\u00df', 'ss')"


_FORMER = runpy.run_path(str(Path(__file__).with_name("0016_further_fields.py")))
_TERMS = f"""LATERAL (
                VALUES ('name', lower(full_name)), ('name', {plain("full_name")}),
                       ('stage', stage), ('phone', phone)
                UNION ALL
                SELECT 'field', term FROM jsonb_each_text(COALESCE(fields, '{{}}')),
                    LATERAL (VALUES (lower(value)), ({plain("value")})) AS both_forms (term)
                WHERE char_length(value) BETWEEN 3 AND 100
            ) AS one (kind, term)"""  # noqa: S608 - of constants
FUNCTIONS = {
    function: body.replace(_FORMER["_TERMS"].format(), _TERMS)
    for function, body in _FORMER["FUNCTIONS"].items()
    if function.startswith("index_users")
}

# As in 0007: users written meanwhile are in `users_to_index`, which is processed only after this
# is committed.
_FILL = f"""
INSERT INTO user_terms
SELECT 'name', {plain("full_name")}, id FROM users
WHERE id > :after AND id <= :last AND {plain("full_name")} <> lower(full_name)
UNION ALL
SELECT 'field', {plain("value")}, id FROM users, jsonb_each_text(COALESCE(fields, '{{}}'))
WHERE id > :after AND id <= :last AND char_length(value) BETWEEN 3 AND 100
  AND {plain("value")} <> lower(value)
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
"""  # noqa: S608 - of constants; values are parameters
_LAST = """
SELECT max(id) FROM (SELECT id FROM users WHERE id > :after ORDER BY id LIMIT :batch) AS batch
"""
_FORGET = """
DELETE FROM user_terms USING users WHERE users.id = user_id AND (
    (kind = 'name' AND term <> lower(full_name))
    OR (kind = 'field' AND NOT EXISTS (
        SELECT FROM jsonb_each_text(COALESCE(fields, '{}')) WHERE lower(value) = term
    ))
)
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        _replace(FUNCTIONS)
        connection, after = op.get_bind(), 0
        while True:
            last = connection.execute(text(_LAST), {"after": after, "batch": BATCH}).scalar()
            if last is None:
                break
            op.execute("BEGIN")
            op.execute("SELECT pg_advisory_xact_lock(hashtext('index_users'))")
            connection.execute(text(_FILL), {"after": after, "last": last})
            op.execute("COMMIT")
            after = last
        op.execute("ANALYZE user_terms")


def _replace(functions: dict[str, str]) -> None:
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
    for function, body in functions.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {function.format(schema=schema)} AS $${body}$$")


def downgrade() -> None:
    former = _FORMER["FUNCTIONS"]
    _replace({name: body for name, body in former.items() if name.startswith("index_users")})
    op.execute(_FORGET)
