"""Clients that write at random, and record each answer.

Names, phones and stages are few, so that they recur: a user returns to a former state, or equals
another user. A write is known by its user and version, or by its idempotency key.
"""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import requests

from tests.checker.history import FIELDS, FULL_NAME, PHONE, STAGE, Action, ClientWrite, State
from tests.faults.bench import Bench

STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")
#: A part of every name, by which a leak into a log is found.
MARK = "Тайна"
_LONG = f"{MARK} {'Долгая ' * 20}"
NAMES = (*(f"{MARK} {word}" for word in ("Первая", "Вторая", "Третья")), _LONG[:99] + "а")
PHONES = tuple(f"+7700555100{digit}" for digit in range(4))
#: Values that only a person writes, in the CRM.
NAME_BY_HAND, PHONE_BY_HAND = f"{MARK} Рукой", "+77005559999"
CLIENTS = 4
#: How many clients write to one user at the same moment.
RACERS = 6
#: How many times an unanswered write with an idempotency key is repeated.
REPEATS = 3
_VALUES = {FULL_NAME: NAMES, PHONE: PHONES, STAGE: STAGES}
_PATHS: dict[Action, tuple[str, str]] = {
    "create_card": ("POST", "/users"),
    "update_card": ("PATCH", "/users/{}"),
    "move_card": ("POST", "/users/{}/move"),
}
#: Kinds of writes and their probabilities, relative to one another.
_WEIGHTS = {
    "create": 35,
    "update": 25,
    "move": 15,
    "change_and_revert": 12,
    "race": 8,
    "burst": 3,
    "by_hand": 6,
    "delete": 2,
}


class Client:
    """One client with its own connection; records its observations in `writes`."""

    def __init__(self, workload: "Workload", dice: random.Random) -> None:
        self._workload, self._dice = workload, dice
        self._http = requests.Session()

    def create(self) -> None:
        """A new user of any name and phone."""
        changes = {name: self._dice.choice(_VALUES[name]) for name in (FULL_NAME, PHONE)}
        self._send("create_card", changes)

    def change(
        self, user: int, changes: dict[str, str] | None = None, if_match: int | None = None
    ) -> None:
        """A change of the given fields, by default of random ones."""
        changes = changes or self._any_change()
        is_move = set(changes) == {STAGE} and self._dice.random() < 0.8
        self._send("move_card" if is_move else "update_card", changes, user, if_match)

    def change_and_revert(self, user: int) -> None:
        """A change, reverted within a second."""
        _, before = self._workload.users[user]
        changes = self._any_change()
        self.change(user, changes)
        self._workload.pause(self._dice.uniform(0, 1))
        self.change(user, {name: getattr(before, name) for name in changes})

    def _any_change(self) -> dict[str, str]:
        names = self._dice.choice(((FULL_NAME,), (PHONE,), (STAGE,), (FULL_NAME, PHONE), FIELDS))
        return {name: self._dice.choice(_VALUES[name]) for name in names}

    def _send(
        self,
        action: Action,
        changes: dict[str, str],
        user: int | None = None,
        if_match: int | None = None,
    ) -> None:
        """Send a write, sometimes with an idempotency key: then again, while it is unanswered.

        One in five with a key is repeated even after its answer.
        """
        key = self._workload.new_key() if self._dice.random() < 0.4 else None
        repeats_anyway = self._dice.random() < 0.2
        for _ in range(REPEATS if key else 1):
            sent = ClientWrite(
                at=time.time(),
                action=action,
                changes=changes,
                status=0,
                user=user,
                if_match=if_match,
                key=key,
            )
            write = self._try(sent)
            self._workload.record(write)
            if not (write.is_unsure or (write.is_acknowledged and repeats_anyway)):
                return

    def _try(self, write: ClientWrite) -> ClientWrite:
        """Send the request once; the write with its answer, if there is one."""
        method, path = _PATHS[write.action]
        headers = {"Idempotency-Key": write.key} if write.key else {}
        if write.if_match is not None:
            headers["If-Match"] = f'"{write.if_match}"'
        url = f"{self._workload.bench.edge}{path.format(write.user)}"
        try:
            answer = self._http.request(
                method, url, json=write.changes, headers=headers, timeout=20
            )
        except requests.RequestException:
            return write
        return _with_answer(write, answer)


def _with_answer(write: ClientWrite, answer: requests.Response) -> ClientWrite:
    fields = vars(write) | {"status": answer.status_code, "answered_at": time.time()}
    if answer.ok:
        user = answer.json()
        fields |= {
            "user": user["id"],
            "version": int(answer.headers["ETag"].strip('"')),
            "answered": State(*(user[name] for name in FIELDS)),
        }
    return ClientWrite(**fields)


class Workload:
    """Random creates, changes, repeats, bursts and races; leads changed and deleted in the CRM."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.seed = seed
        self.writes: list[ClientWrite] = []
        #: Newest known version of each user of this round, and its state.
        self.users: dict[int, tuple[int, State]] = {}
        #: Users whose lead a person deleted.
        self.deleted: set[int] = set()
        #: When a standby of Postgres was promoted that may have lagged behind.
        self.forked_at: list[float] = []
        self._stop = threading.Event()
        self._keys = count()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write_until_stopped, args=[self.dice(number)])
            for number in range(CLIENTS)
        ]

    def dice(self, name: object) -> random.Random:
        """A separate random generator for each part of the round."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - a game, no secret

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the writing, after the requests in flight."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def pause(self, seconds: float) -> None:
        """Wait this long, or until `stop`."""
        self._stop.wait(seconds)

    def write_last(self) -> None:
        """A last write of every user whose lead was deleted: it must create the lead again."""
        client = Client(self, self.dice("last"))
        for user in sorted(self.deleted):
            answer = requests.get(f"{self.bench.edge}/users/{user}", timeout=60)
            if answer.status_code == 404 and self.forked_at:
                continue  # a failover has lost the user
            state = answer.json()
            others = {name: _another(_VALUES[name], state[name]) for name in (FULL_NAME, STAGE)}
            client.change(user, others)

    def new_key(self) -> str:
        """An idempotency key that was never used."""
        return f"key-{self.seed}-{next(self._keys)}"

    def record(self, write: ClientWrite) -> None:
        """Record what a client observed."""
        with self._lock:
            self.writes.append(write)
            if write.user is None or write.version is None or write.answered is None:
                return
            version, _ = self.users.get(write.user, (0, None))
            if write.version > version:
                self.users[write.user] = write.version, write.answered

    def _write_until_stopped(self, dice: random.Random) -> None:
        client = Client(self, dice)
        while not self._stop.is_set():
            self._write_once(client, dice)
            self._stop.wait(dice.uniform(0.02, 0.2))

    def _write_once(self, client: Client, dice: random.Random) -> None:
        kind = dice.choices([*_WEIGHTS], [*_WEIGHTS.values()])[0]
        pick = dice.random()
        users = sorted(self.users)
        if kind == "create" or not users:
            client.create()
            return
        # Mostly a new user: its first minute is the most dangerous.
        user = users[int(len(users) * pick**0.3)]
        if kind == "change_and_revert":
            client.change_and_revert(user)
        elif kind == "race":
            self._race(user, dice)
        elif kind == "burst":
            for _ in range(8):
                client.change(user)
        elif kind == "by_hand":
            self._change_by_hand(user, dice)
        elif kind == "delete":
            self._delete_lead(user)
        else:
            changes = {STAGE: dice.choice(STAGES)} if kind == "move" else None
            version, _ = self.users[user]
            if_match = version if dice.random() < 0.2 else None
            client.change(user, changes, if_match=if_match)

    def _race(self, user: int, dice: random.Random) -> None:
        """Concurrent writes of one user: of those with the last version, at most one may succeed.

        Others have a stale precondition, or none.
        """
        clients = [Client(self, random.Random(dice.random())) for _ in range(RACERS)]  # noqa: S311
        version, _ = self.users[user]
        stale = version - 1 or None  # a first version has none before it
        expected_versions = dice.choices((version, stale, None), (3, 2, 1), k=RACERS)
        with ThreadPoolExecutor(RACERS) as pool:
            for client, if_match in zip(clients, expected_versions, strict=True):
                pool.submit(client.change, user, if_match=if_match)

    def _change_by_hand(self, user: int, dice: random.Random) -> None:
        """A person gives the lead another stage or name, or one more phone."""
        choices: tuple[dict[str, object], ...] = (
            {"STATUS_ID": dice.choice(STAGES)},
            {"TITLE": NAME_BY_HAND, "NAME": NAME_BY_HAND},
            {"PHONE": [{"VALUE": PHONE_BY_HAND, "VALUE_TYPE": "HOME"}]},
        )
        fields = dice.choice(choices)
        for lead in self.bench.leads_of(user):
            self.bench.call_by_hand("crm.lead.update", id=lead["ID"], fields=fields)

    def _delete_lead(self, user: int) -> None:
        """Delete the lead, once: a user whose lead vanishes twice in a row fails by design."""
        if user in self.deleted:
            return
        for lead in self.bench.leads_of(user):
            self.deleted.add(user)
            self.bench.call_by_hand("crm.lead.delete", id=lead["ID"])


def _another(values: tuple[str, ...], value: str) -> str:
    return next(choice for choice in values if choice != value)
