"""Clients that write at random, and remember exactly what they were promised."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import requests

from tests.faults.bench import Bench

STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")
#: In every name: what of it is found in a log has leaked.
MARK = "Тайна"
CLIENTS = 4
#: How often an unanswered write with an idempotency key is repeated.
REPEATS = 3


@dataclass
class Write:
    """One write as its client saw it."""

    at: float
    action: str
    body: dict[str, Any]
    user: int | None = None
    key: str | None = None
    if_match: int | None = None
    #: HTTP status of each try; 0 where none came.
    statuses: list[int] = field(default_factory=list)
    #: What the client was promised: the user, and the version that the write made.
    promised: dict[str, Any] | None = None
    version: int | None = None

    @property
    def is_unsure(self) -> bool:
        """Nobody can say whether it was stored."""
        return self.promised is None and any(one == 0 or one >= 500 for one in self.statuses)

    def __str__(self) -> str:
        asked = {**self.body, **({"If-Match": self.if_match} if self.if_match else {})}
        promised = f"promised version {self.version}" if self.promised else "no promise"
        return f"{self.action} {asked} key={self.key} → {self.statuses}, {promised}"


class Workload:
    """Random creates, updates, moves, repeats and races; leads deleted in the CRM."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.seed = seed
        self.writes: list[Write] = []
        #: Newest known version of each user of this round.
        self.users: dict[int, int] = {}
        #: Users whose lead somebody deleted.
        self.deleted: set[int] = set()
        #: Promises that broke before the client's own eyes.
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._numbers = count()
        self._threads = [
            threading.Thread(target=self._write_on, args=[random.Random(f"{seed}/{number}")])  # noqa: S311 - a game, no secret
            for number in range(CLIENTS)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and have the last word on every user whose lead was deleted."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def speak_last(self) -> None:
        """A last write of every user whose lead was deleted: it must make the lead again."""
        dice = random.Random(self.seed)  # noqa: S311
        with requests.Session() as http:
            for user in sorted(self.deleted):
                self._update(http, dice, user, if_match=False)

    def _write_on(self, dice: random.Random) -> None:
        with requests.Session() as http:
            while not self._stop.is_set():
                self._one(http, dice)
                self._stop.wait(dice.uniform(0.02, 0.2))

    def _one(self, http: requests.Session, dice: random.Random) -> None:
        kind = dice.choices(("create", "update", "move", "burst", "delete"), (40, 35, 25, 3, 3))[0]
        pick = dice.random()
        users = sorted(self.users)
        if kind == "create" or not users:
            self._create(http, dice)
            return
        # Most often somebody new: the dangerous time of a user is its first minute.
        user = users[int(len(users) * pick**0.3)]
        if kind == "update":
            self._update(http, dice, user, if_match=dice.random() < 0.2)
        elif kind == "move":
            self._move(http, dice, user)
        elif kind == "burst":
            for _ in range(8):
                self._update(http, dice, user, if_match=False)
        else:
            self._delete_lead(user)

    def _create(self, http: requests.Session, dice: random.Random) -> None:
        self._send(http, dice, Write(time.time(), "create_card", self._person(dice)))

    def _update(
        self, http: requests.Session, dice: random.Random, user: int, *, if_match: bool
    ) -> None:
        body = self._person(dice)
        if dice.random() < 0.3:
            body["stage"] = dice.choice(STAGES)
        write = Write(time.time(), "update_card", body, user)
        write.if_match = self.users[user] if if_match else None
        self._send(http, dice, write)

    def _move(self, http: requests.Session, dice: random.Random, user: int) -> None:
        body = {"stage": dice.choice(STAGES)}
        self._send(http, dice, Write(time.time(), "move_card", body, user))

    def _person(self, dice: random.Random) -> dict[str, Any]:
        name = f"{MARK} {self.seed}-{next(self._numbers)}"
        return {"full_name": name, "phone": f"+7700{dice.randrange(10**7):07}"}

    def _delete_lead(self, user: int) -> None:
        for lead in self.bench.leads_of(user):
            self.deleted.add(user)
            self.bench.delete_lead(lead["ID"])

    def _send(self, http: requests.Session, dice: random.Random, write: Write) -> None:
        """Send it, with a key as often as it takes; sometimes once more though it was answered."""
        write.key = f"key-{self.seed}-{next(self._numbers)}" if dice.random() < 0.4 else None
        repeats_anyway = dice.random() < 0.2
        self.writes.append(write)
        for _ in range(REPEATS if write.key else 1):
            self._try(http, write)
            if not (write.is_unsure or (write.promised and repeats_anyway)):
                return

    def _try(self, http: requests.Session, write: Write) -> None:
        paths = {
            "create_card": ("POST", "/users"),
            "update_card": ("PATCH", f"/users/{write.user}"),
            "move_card": ("POST", f"/users/{write.user}/move"),
        }
        method, path = paths[write.action]
        headers = {"Idempotency-Key": write.key} if write.key else {}
        if write.if_match:
            headers["If-Match"] = f'"{write.if_match}"'
        url = f"{self.bench.edge}{path}"
        try:
            answer = http.request(method, url, json=write.body, headers=headers, timeout=20)
        except requests.RequestException:
            write.statuses.append(0)
            return
        write.statuses.append(answer.status_code)
        if answer.ok:
            self._note(write, answer)

    def _note(self, write: Write, answer: requests.Response) -> None:
        user, version = answer.json(), int(answer.headers["ETag"].strip('"'))
        if write.promised and (write.promised, write.version) != (user, version):
            self.broken.append(f"P1 a repeat was answered otherwise: {write}, {user} {version}")
        if write.if_match and version != write.if_match + 1:
            self.broken.append(f"P1 If-Match let another version pass: {write}, {version}")
        write.promised, write.version, write.user = user, version, user["id"]
        self.users[user["id"]] = max(version, self.users.get(user["id"], 0))


def by_user(writes: list[Write], user: int) -> Iterator[Write]:
    """The writes of one user, in the order in which they were sent."""
    return (write for write in writes if write.user == user)
