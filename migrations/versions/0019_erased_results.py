"""An erasure also forgets why results of the person failed.

The reason is the portal's text, and may quote what it was sent: collecting a result replaces the
name and the phone in it, but not a part of the name that the portal has put into other words.

For a database in use: the index is built without a lock, and the function is replaced at once.
After an interruption the migration can be run again.
"""

import runpy
from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_FORMER: str = runpy.run_path(str(Path(__file__).with_name("0017_first_match.py")))["FORGET"]
_HELD = "    DELETE FROM held_users WHERE user_id = NEW.id;\n"
_RESULTS = "    UPDATE results SET reason = NULL WHERE user_id = NEW.id AND reason IS NOT NULL;\n"
FORGET = _FORMER.replace(_HELD, _HELD + _RESULTS)

INDEX = "results_with_reason"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("COMMIT")  # see 0002
        # An interrupted build leaves an invalid index behind.
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON results (user_id) WHERE reason IS NOT NULL"
        )
        _forget(FORGET)
        op.execute(
            "UPDATE results SET reason = NULL FROM users"
            " WHERE users.id = user_id AND erased_at IS NOT NULL AND reason IS NOT NULL"
        )


def _forget(body: str) -> None:
    """Replace the trigger function that runs when a user becomes a tombstone."""
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar()
    op.execute(
        "CREATE OR REPLACE FUNCTION forget_matches() RETURNS trigger LANGUAGE plpgsql"
        f" SECURITY DEFINER SET search_path = {schema}, pg_temp AS $${body}$$"
    )


def downgrade() -> None:
    _forget(_FORMER)
    op.execute(f"DROP INDEX {INDEX}")
