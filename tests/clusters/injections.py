"""Every fault of the clusters; each cluster has at most one faulty node at a time.

A fault breaks, `yield`s, and repairs, as those of tests/faults do.
"""

import time
from collections.abc import Callable, Iterator
from typing import cast

from leadline.messages import topology
from tests.checker.history import Fork
from tests.clusters.bench import ClusterBench
from tests.clusters.node import Node
from tests.clusters.postgres import PATIENCE_S
from tests.faults.injections import Fault, Injection, Scene

FAULTS: dict[str, Fault] = {}
#: How long a standby receives nothing before its primary is killed.
STANDBY_LAG_S, STANDBY_LONG_LAG_S = 1.5, 5.0
#: How long messages collect in a delay queue.
DELAYED_S = 3.0
#: A function that breaks one node.
Break = Callable[[ClusterBench, Node], None]

_BREAKS: dict[str, Break] = {
    "killed": lambda _bench, node: node.kill(),
    "frozen": lambda _bench, node: node.freeze(),
    "cut_off": lambda bench, node: bench.network.cut(node.name),
    "silent": lambda bench, node: bench.network.silence(node.name),
    "deaf": lambda bench, node: bench.network.deafen(node.name),
}
_DISK_FAULTS: dict[str, Break] = {"out_of_disk": lambda bench, node: bench.redises.fill_disk(node)}
_LINK_FAULTS: dict[str, Break] = {
    "lossy": lambda bench, node: bench.network.lose(node.name, percent=20),
    "slow": lambda bench, node: bench.network.slow(node.name),
}


def _register(target: str, name: str, seconds: tuple[float, float], inject: Injection) -> None:
    # Each of these faults may repeat a message or an attempt: see `InjectedFaults.losses`.
    FAULTS[name] = Fault(
        name, target=target, seconds=seconds, weight=1, excuse="loss", inject=inject
    )


def _bench(scene: Scene) -> ClusterBench:
    return cast("ClusterBench", scene.bench)


# RabbitMQ


def _add_broker_fault(name: str, break_: Break) -> None:
    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        node = scene.dice.choice(bench.brokers.nodes)
        break_(bench, node)
        yield
        bench.brokers.repair(node)

    _register("rabbitmq", f"broker_{name}", (5, 20), inject)


for _name, _break in {**_BREAKS, **_LINK_FAULTS}.items():
    _add_broker_fault(_name, _break)


def _add_leader_fault(name: str, break_: Break) -> None:
    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        queue = scene.dice.choice((topology.REQUESTS, topology.REPLIES))
        node = bench.brokers.leader_of(queue)
        break_(bench, node)
        yield
        bench.brokers.repair(node)

    _register("rabbitmq", f"queue_leader_{name}", (5, 20), inject)


for _name in ("killed", "frozen", "cut_off"):
    _add_leader_fault(_name, _BREAKS[_name])


def two_brokers_parted(scene: Scene) -> Iterator[None]:
    """Cut the link between two brokers; both still reach the third, and clients reach all."""
    bench = _bench(scene)
    node, other, _ = scene.dice.sample(bench.brokers.nodes, 3)
    bench.network.part(node.name, [other.name])
    yield
    bench.brokers.repair(node)


_register("rabbitmq", "two_brokers_parted", (5, 20), two_brokers_parted)


def broker_parted_from_brokers(scene: Scene) -> Iterator[None]:
    """Cut a broker from the others; clients still reach it, although it is a minority."""
    bench = _bench(scene)
    node, *others = scene.dice.sample(bench.brokers.nodes, 3)
    bench.network.part(node.name, [other.name for other in others])
    yield
    bench.brokers.repair(node)


_register("rabbitmq", "broker_parted_from_brokers", (5, 20), broker_parted_from_brokers)


def delay_queue_leader_killed(scene: Scene) -> Iterator[None]:
    """Kill the leader of a delay queue in which messages wait.

    A host is cut off from Redis for so long that its messages get there: their deliveries fail.
    """
    bench = _bench(scene)
    host = scene.dice.choice(list(bench.hosts))
    bench.network.part(host.name, [node.name for node in bench.redises.nodes])
    time.sleep(DELAYED_S)
    second_step_s = topology.RETRY_STEPS_S[1]  # the messages have left the first one by now
    node = bench.brokers.leader_of(topology.delay_name(topology.REQUESTS, second_step_s))
    node.kill()
    host.heal()
    yield
    bench.brokers.repair(node)


_register("rabbitmq", "delay_queue_leader_killed", (5, 20), delay_queue_leader_killed)


def queue_leaders_moved(scene: Scene) -> Iterator[None]:
    """Rebalance the queues' leaders, as an operator may; no node is killed."""
    bench = _bench(scene)
    bench.brokers.rebalance()
    yield
    bench.brokers.repair()


_register("rabbitmq", "queue_leaders_moved", (5, 10), queue_leaders_moved)


def broker_out_of_disk(scene: Scene) -> Iterator[None]:
    """Fill one broker's disk: RabbitMQ then blocks the publishers of all nodes."""
    bench = _bench(scene)
    bench.brokers.fill_disk(scene.dice.choice(bench.brokers.nodes))
    yield
    bench.brokers.repair()


_register("rabbitmq", "broker_out_of_disk", (5, 10), broker_out_of_disk)


# Redis


def _add_redis_fault(role: str, name: str, break_: Break) -> None:
    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        master = bench.redises.master()
        # Drawn for both roles, so that a seed gives the same faults afterwards.
        node = scene.dice.choice([node for node in bench.redises.nodes if node is not master])
        if role == "master":
            node = master
            scene.consequences.redis_losses.append(time.time())
        break_(bench, node)
        yield
        bench.redises.repair()
        if role == "master":
            scene.consequences.redis_losses.append(time.time())

    _register("redis", f"redis_{role}_{name}", (5, 20), inject)


for _name, _break in {**_BREAKS, **_LINK_FAULTS, **_DISK_FAULTS}.items():
    _add_redis_fault("master", _name, _break)
for _name in ("killed", "frozen", "cut_off"):
    _add_redis_fault("replica", _name, _BREAKS[_name])


def sentinel_failover(scene: Scene) -> Iterator[None]:
    """Move the master, as an operator may."""
    bench = _bench(scene)
    scene.consequences.redis_losses.append(time.time())
    bench.redises.failover()
    yield
    bench.redises.repair()


_register("redis", "sentinel_failover", (5, 10), sentinel_failover)


# Postgres


def _add_primary_fault(name: str, break_: Break) -> None:
    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        with bench.postgres.one_fault:
            (row,) = bench.postgres.rows("SELECT history FROM installation")
            break_(bench, bench.postgres.primary)
            time.sleep(PATIENCE_S)
            promoted_at = time.time()
            if not bench.postgres.is_synchronous:
                scene.workload.forked_at.append(promoted_at)
            bench.postgres.promote()
            yield
            lost = bench.postgres.repair()
            if not bench.postgres.is_synchronous:
                scene.consequences.forks.append(Fork(promoted_at, lost, row["history"]))

    _register("postgres", f"primary_{name}", (5, 15), inject)


def _add_standby_fault(name: str, break_: Break) -> None:
    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        with bench.postgres.one_fault:
            break_(bench, bench.postgres.standby)
            time.sleep(PATIENCE_S)
            bench.postgres.commit_without_standby()
            yield
            bench.postgres.repair()

    _register("postgres", f"standby_{name}", (5, 15), inject)


for _name in ("killed", "frozen", "cut_off"):
    _add_primary_fault(_name, _BREAKS[_name])
    _add_standby_fault(_name, _BREAKS[_name])


def _add_lagging_standby_fault(name: str, lag_s: float) -> None:
    """Kill a primary whose standby lags: asynchronous replication loses its last writes."""

    def break_(bench: ClusterBench, node: Node) -> None:
        bench.network.part(node.name, [bench.postgres.standby.name])
        time.sleep(lag_s)
        node.kill()

    _add_primary_fault(name, break_)


_add_lagging_standby_fault("killed_with_lagging_standby", STANDBY_LAG_S)
_add_lagging_standby_fault("killed_with_standby_far_behind", STANDBY_LONG_LAG_S)


def _add_primary_link_fault(name: str, break_: Break) -> None:
    """Disturb the primary's network; it stays the primary."""

    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        with bench.postgres.one_fault:
            break_(bench, bench.postgres.primary)
            yield
            bench.postgres.repair()

    _register("postgres", f"primary_{name}", (5, 15), inject)


for _name, _break in _LINK_FAULTS.items():
    _add_primary_link_fault(_name, _break)


# Leadline's hosts


def _add_host_fault(server: str, nodes: Callable[[ClusterBench], list[Node]]) -> None:
    def inject(scene: Scene) -> Iterator[None]:
        bench = _bench(scene)
        host = scene.dice.choice(list(bench.hosts))
        bench.network.part(host.name, [node.name for node in nodes(bench)])
        yield
        host.heal()

    _register("hosts", f"host_parted_from_{server}", (5, 20), inject)


_add_host_fault("redis", lambda bench: bench.redises.nodes)
_add_host_fault("redis_master", lambda bench: [bench.redises.master()])
_add_host_fault("rabbitmq", lambda bench: bench.brokers.nodes)
_add_host_fault("a_broker", lambda bench: bench.brokers.nodes[:1])


def host_lossy(scene: Scene) -> Iterator[None]:
    """Lose packets between one host and all servers."""
    bench = _bench(scene)
    host = scene.dice.choice(list(bench.hosts))
    bench.network.lose(host.name, percent=10)
    yield
    host.heal()


_register("hosts", "host_lossy", (5, 20), host_lossy)
