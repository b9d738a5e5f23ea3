"""Kubernetes simulated with processes: they start, become ready and get SIGTERM in the order of its controllers."""

import itertools
import random
import signal
import threading
import time
from collections import Counter
from functools import partial

import httpx

from tests.conftest import PATIENCE_SECONDS, until
from tests.system.test_rebalances import SESSION_SECONDS, Load, finished

MIN_READY_SECONDS = 4.0
"""How long a new pod must have been ready before an old one stops. The chart's is longer; a rebalance takes less."""

PRE_STOP_SECONDS = 1.0
"""Between the moment at which callers no longer find a pod, and its SIGTERM."""


class Deployment:
    """The pods of one program, as a Deployment starts and stops them."""

    def __init__(self, start):
        self.start = start
        self.pods = []
        self.endpoints = []
        """The pods that a Service sends requests to."""
        self.start_seconds = []
        """How long each pod took from its start until it was ready."""

    def add(self, count=1, **settings):
        """Start pods at the same time, and wait until they are ready."""
        began_at = time.monotonic()
        added = [self.start(wait=False, **settings) for _ in range(count)]
        for pod in added:
            pod.wait()
            self.start_seconds.append(time.monotonic() - began_at)
        self.pods += added
        self.endpoints += added

    def roll(self, min_ready_seconds=0.0, pre_stop_seconds=0.0):
        """maxSurge 1, maxUnavailable 0: when a new pod is ready an old one gets SIGTERM, and the next one starts."""
        for old in list(self.pods):
            self.add()
            time.sleep(min_ready_seconds)
            self.endpoints.remove(old)
            time.sleep(pre_stop_seconds)
            old.send_signal(signal.SIGTERM)
        self.leave(len(self.pods) // 2)

    def leave(self, count):
        """Stop the first pods, all at the same time."""
        leaving, self.pods = self.pods[:count], self.pods[count:]
        for pod in leaving:
            pod.send_signal(signal.SIGTERM)
        assert [pod.stop() for pod in leaving] == [0] * count

    def all_own_partitions(self):
        until(lambda: all("assigned" in pod.log_text() for pod in self.pods), "every pod to own partitions")


class Callers(threading.Thread):
    """Sends tasks by REST, one after another, each over a connection of its own to any of the pods."""

    def __init__(self, endpoints):
        super().__init__(daemon=True)
        self.endpoints, self.answers, self.stopping = endpoints, Counter(), threading.Event()

    def run(self):
        while not self.stopping.wait(0.02):
            number = self.answers.total()
            task = {"task_id": number, "task_type": "phone", "data": f"8 916 {number}"}
            try:
                url = random.choice(list(self.endpoints)).url
                status = httpx.post(f"{url}/tasks", json=task, timeout=PATIENCE_SECONDS).status_code
            except httpx.TransportError as error:
                status = type(error).__name__
            self.answers[status] += 1

    def stop(self):
        self.stopping.set()
        self.join()
        return self.answers


def longest_pauses(topics, began_at):
    """Return the longest pause since then between two results: of any tasks, and of the tasks of one partition."""
    results = [seen for seen in topics.read() if seen.topic == topics.results and seen.at >= began_at]
    partitions = [[seen for seen in results if seen.json["task_id"] % topics.partitions == n] for n in range(4)]
    of_any, *of_each = [
        max(after - before for before, after in itertools.pairwise(sorted(seen.at for seen in some)))
        for some in (results, *partitions)
    ]
    return of_any, max(of_each)


def check(topics, database, simulators, deployment, load, began_at):
    """Check that nothing is lost or repeated, that results went on, and that no partition waited for a dead member."""
    time.sleep(SESSION_SECONDS)  # if Kafka waited for a dead member, it would be for so long
    results = finished(topics, database, load)
    of_any, of_one_partition = longest_pauses(topics, began_at)
    starts = deployment.start_seconds
    print(f"longest pause {of_any:.2f} s, of one partition {of_one_partition:.2f}; starts {min(starts):.2f} and longer")
    assert all(len(ids) == 1 for ids in results.values()), "a result was repeated"
    assert max(simulators.requests()["answered"].values()) == 1, "a call was paid for again"
    assert of_any < min(starts)
    assert of_one_partition < max(SESSION_SECONDS / 3, *starts)  # a rebalance takes a second on any machine


def test_a_rolling_update_loses_and_repeats_nothing_and_results_go_on(topics, database, simulators, start_processor):
    simulators.control(latency_ms=50, remember_inputs=True)
    deployment = Deployment(start_processor)
    deployment.add(3)
    deployment.all_own_partitions()
    load = Load(topics)
    load.start()
    until(lambda: len(topics.read_results()) > 200, "results")
    began_at = time.time()

    deployment.roll(min_ready_seconds=MIN_READY_SECONDS)

    check(topics, database, simulators, deployment, load, began_at)


def test_scaling_from_1_to_4_and_back_loses_and_repeats_nothing_and_results_go_on(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=50, remember_inputs=True)
    deployment = Deployment(start_processor)
    deployment.add()
    deployment.all_own_partitions()
    load = Load(topics)
    load.start()
    until(lambda: len(topics.read_results()) > 200, "results")
    began_at = time.time()

    deployment.add(3)
    deployment.all_own_partitions()
    deployment.leave(3)

    check(topics, database, simulators, deployment, load, began_at)


def test_with_instance_ids_as_a_stateful_set_has_them_partitions_wait_for_a_pods_start(
    topics, database, simulators, start_processor
):
    simulators.control(latency_ms=50, remember_inputs=True)
    pods = Deployment(start_processor)
    for number in range(2):
        pods.add(KAFKA_GROUP_INSTANCE_ID=f"processor-{number}")
    pods.all_own_partitions()
    load = Load(topics)
    load.start()
    until(lambda: len(topics.read_results()) > 200, "results")
    began_at = time.time()

    for number in (1, 0):
        assert pods.pods[number].stop() == 0
        pods.add(KAFKA_GROUP_INSTANCE_ID=f"processor-{number}")

    finished(topics, database, load)
    _, of_one_partition = longest_pauses(topics, began_at)
    print(f"longest pause of one partition {of_one_partition:.2f} s, starts {pods.start_seconds[2:]}")
    assert of_one_partition > min(SESSION_SECONDS / 2, *pods.start_seconds[2:])


def test_a_rolling_update_of_the_gateways_answers_every_request(topics, start, start_processor):
    start_processor()
    gateways = Deployment(partial(start, "gateway"))
    gateways.add(2)
    callers = Callers(gateways.endpoints)
    callers.start()
    until(lambda: callers.answers.total() > 20, "answers")

    gateways.roll(pre_stop_seconds=PRE_STOP_SECONDS)

    answers = callers.stop()
    print(answers)
    assert answers.keys() == {200}
    assert answers.total() == len(topics.read_results())
