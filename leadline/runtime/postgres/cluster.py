"""Connects to the server of a cluster that qualifies, such as the primary after a failover."""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from pg8000.exceptions import DatabaseError, InterfaceError

from leadline.runtime import secrets
from leadline.runtime.concurrency import greenlets
from leadline.runtime.hosts import Node, order_from, silent_node
from leadline.runtime.postgres.connection import ANSWER_CHECK_S, Session, sqlstate
from leadline.runtime.postgres.dsn import servers
from leadline.runtime.secrets import UrlSource

log = structlog.get_logger()

#: SQLSTATE classes after which the next server is tried, as by libpq: insufficient resources, and
#: starting up or shutting down. Any other error, such as a wrong password, is raised at once.
_TRY_NEXT = ("53", "57")


class Cluster:
    """Opens sessions on the servers of one URL; thread-safe."""

    def __init__(self, source: UrlSource) -> None:
        self._source = source
        servers(secrets.resolve(source))  # an invalid URL is an error at once
        #: Index of the server used last; it is tried first, as a dead one costs a time-out.
        self._last = 0
        self._searched_at = float("-inf")

    def options(self) -> Mapping[str, Any]:
        """pg8000's options for the first server that qualifies; raises as `connect`."""
        self.connect(cooperative=False).close()
        return servers(secrets.resolve(self._source)).options[self._last]

    def connect(self, *, cooperative: bool, timeout_s: float | None = None) -> Session:
        """A session on the first server that qualifies; arguments and errors as for Session.

        If none qualifies, raises the error of the last one tried.
        """
        all_servers = servers(secrets.resolve(self._source))
        count = len(all_servers.options)
        order = order_from(self._last, count)
        can_be_superseded = all_servers.must_accept_writes and count > 1
        for index in order:
            try:
                session = Session(
                    all_servers.options[index],
                    cooperative=cooperative,
                    timeout_s=timeout_s,
                    must_accept_writes=all_servers.must_accept_writes,
                    is_superseded=partial(self._check_superseded, index)
                    if can_be_superseded
                    else None,
                )
            except OSError:
                if index == order[-1]:
                    raise
            except DatabaseError as error:
                if index == order[-1] or not sqlstate(error).startswith(_TRY_NEXT):
                    raise
            else:
                self._last = index
                session.server = index if can_be_superseded else None
                return session
        raise AssertionError("a URL has at least one host")

    def is_current(self, session: Session) -> bool:
        """Whether no other server has been found to accept writes since this session began."""
        return session.server in (None, self._last)

    def _check_superseded(self, index: int) -> bool:
        """Return whether another server has replaced this one, and search for one in a thread.

        Called while the server with this index does not answer; searches once in `ANSWER_CHECK_S`.
        A server that is frozen or cut off ends no connection: each statement would wait for its
        time-out, and so would its client.
        """
        now = time.monotonic()
        if self._last == index and now - self._searched_at >= ANSWER_CHECK_S:
            self._searched_at = now
            greenlets.run_in_thread(partial(self._find_replacement, index))
        return self._last != index

    def _find_replacement(self, index: int) -> None:
        all_servers = servers(secrets.resolve(self._source))
        for other, options in enumerate(all_servers.options):
            if other == index:
                continue
            with suppress(OSError, DatabaseError, InterfaceError):
                Session(
                    options, cooperative=False, timeout_s=ANSWER_CHECK_S, must_accept_writes=True
                ).close()
                self._last = other
                log.warning("another Postgres accepts writes, leaving one that does not answer")
                return


PRIMARY, SYNCHRONOUS_PRIMARY, STANDBY = "primary", "primary with a synchronous standby", "standby"
_ROLE = f"""
SELECT CASE WHEN pg_is_in_recovery() THEN '{STANDBY}'
            WHEN current_setting('synchronous_standby_names') = '' THEN '{PRIMARY}'
            ELSE '{SYNCHRONOUS_PRIMARY}' END AS role,
       concat_ws(' ', inet_server_addr(), inet_server_port(), pg_postmaster_start_time()) AS server
"""
#: For connecting to a node whose role is asked, and for its answer.
_NODE_TIMEOUT_S = 3.0


def nodes(url: str) -> list[Node]:
    """The role of each server in this URL: one of the constants above."""
    return [_node(options) for options in servers(url).options]


def _node(options: Mapping[str, Any]) -> Node:
    address = f"{options['host']}:{options['port']}"
    try:
        session = Session(options, cooperative=False, timeout_s=_NODE_TIMEOUT_S)
        try:
            (row,) = session.run(_ROLE, {})
        finally:
            session.close()
    except (DatabaseError, InterfaceError, OSError) as error:
        return silent_node(address, type(error).__name__)
    return Node(address, str(row["role"]), server=str(row["server"]))
