"""The portal's SQLite file: its tables, and the migration of files of earlier versions."""

import sqlite3
from pathlib import Path

from emulator.entities.entity import BUILT_IN
from emulator.entities.like import like

#: Tables whose rows a reset deletes.
TABLES = (
    *("write", "multifield", "handler", "offline_handler", "offline_event", "stage_history"),
    *("user_field", "status", "category", "deleted", "product_row", "pipeline", "smart_process"),
    *("record", "record_family"),
    *(entity.table for entity in BUILT_IN),
)

#: The table of one type of object.
_OBJECTS = """
CREATE TABLE IF NOT EXISTS {name} (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS {name}_origin ON {name} (json_extract(data, '$.ORIGIN_ID'));
CREATE INDEX IF NOT EXISTS {name}_modified ON {name} (json_extract(data, '$.DATE_MODIFY'));
"""
#: All other tables; `entity` and `owner_id` are the type and id of the object that a row is about,
#: `connector` is the application (`auth_connector`) that an offline event is queued for.
_SCHEMA = """
CREATE INDEX IF NOT EXISTS lead_stage ON lead (json_extract(data, '$.STATUS_ID'));
CREATE INDEX IF NOT EXISTS deal_lead ON deal (json_extract(data, '$.LEAD_ID'));
CREATE TABLE IF NOT EXISTS multifield (
    id INTEGER PRIMARY KEY AUTOINCREMENT, entity INTEGER NOT NULL DEFAULT 1,
    owner_id INTEGER NOT NULL, type_id TEXT NOT NULL, value_type TEXT NOT NULL,
    value TEXT NOT NULL, digest TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS multifield_owner ON multifield (owner_id);
CREATE INDEX IF NOT EXISTS multifield_digest ON multifield (type_id, digest);
CREATE TABLE IF NOT EXISTS write (
    id INTEGER PRIMARY KEY, entity INTEGER NOT NULL DEFAULT 1, owner_id INTEGER NOT NULL,
    time REAL NOT NULL, method TEXT NOT NULL, fields TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS write_owner ON write (owner_id);
CREATE TABLE IF NOT EXISTS handler (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, url TEXT NOT NULL,
    auth_type INTEGER NOT NULL DEFAULT 0, min_timeout REAL NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS offline_handler (
    event TEXT NOT NULL, connector TEXT NOT NULL, PRIMARY KEY (event, connector));
CREATE TABLE IF NOT EXISTS offline_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, connector TEXT NOT NULL,
    owner_id INTEGER NOT NULL, time REAL NOT NULL, process_id TEXT,
    error INTEGER NOT NULL DEFAULT 0, type_id INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS stage_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, entity INTEGER NOT NULL, owner_id INTEGER NOT NULL,
    kind INTEGER NOT NULL, time TEXT NOT NULL, stage TEXT NOT NULL, semantics TEXT NOT NULL,
    category_id INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS stage_history_owner ON stage_history (entity, owner_id);
CREATE TABLE IF NOT EXISTS product_row (
    id INTEGER PRIMARY KEY AUTOINCREMENT, entity INTEGER NOT NULL, owner_id INTEGER NOT NULL,
    data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS product_row_owner ON product_row (owner_id);
CREATE TABLE IF NOT EXISTS user_field (
    id INTEGER PRIMARY KEY AUTOINCREMENT, entity INTEGER NOT NULL, definition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS status (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS category (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pipeline (id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS smart_process (
    id INTEGER PRIMARY KEY AUTOINCREMENT, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS record (
    family TEXT NOT NULL, id INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (family, id));
CREATE TABLE IF NOT EXISTS record_family (name TEXT PRIMARY KEY, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS deleted (
    id INTEGER PRIMARY KEY AUTOINCREMENT, entity INTEGER NOT NULL, owner_id INTEGER NOT NULL,
    time TEXT NOT NULL, data TEXT NOT NULL, rows TEXT NOT NULL);
"""

#: Migrates a file of the first version, which had leads and no other objects.
_FROM_LEADS_ONLY = """
DROP INDEX IF EXISTS multifield_lead;
DROP INDEX IF EXISTS write_lead;
ALTER TABLE multifield RENAME COLUMN lead_id TO owner_id;
ALTER TABLE multifield ADD COLUMN entity INTEGER NOT NULL DEFAULT 1;
ALTER TABLE write RENAME COLUMN lead_id TO owner_id;
ALTER TABLE write ADD COLUMN entity INTEGER NOT NULL DEFAULT 1;
ALTER TABLE offline_event RENAME COLUMN lead_id TO owner_id;
"""
#: Columns that a file of an earlier version may lack.
_ADDED = (
    ("handler", "auth_type", "INTEGER NOT NULL DEFAULT 0"),
    ("handler", "min_timeout", "REAL NOT NULL DEFAULT 1"),
    ("offline_event", "error", "INTEGER NOT NULL DEFAULT 0"),
    ("offline_event", "type_id", "INTEGER NOT NULL DEFAULT 0"),
)


def create_table(db: sqlite3.Connection, table: str) -> None:
    """Create the table of a type of objects."""
    for statement in _OBJECTS.format(name=table).split(";"):
        db.execute(statement)


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, and update its tables; committed writes survive kill -9."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.create_function("like", 2, like, deterministic=True)
    db.create_function("like", 3, like, deterministic=True)
    if "lead_id" in _columns(db, "multifield"):
        db.executescript(f"BEGIN; {_FROM_LEADS_ONLY} COMMIT;")
    for table, name, kind in _ADDED:
        columns = _columns(db, table)
        if columns and name not in columns:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    db.executescript("".join(_OBJECTS.format(name=entity.table) for entity in BUILT_IN) + _SCHEMA)
    return db


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    """The columns of a table; none if there is no such table."""
    return {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")}
