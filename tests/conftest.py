"""The real services of the tests: one Kafka, one PostgreSQL and one process of simulators per session, from sandbox/.

Each test has its own topics and its own database. Everything that a test starts ends with it.
"""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import hypothesis
import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from sandbox import child as sandbox_child
from sandbox.child import Child, NotReady, free_port
from sandbox.kafka import Kafka
from sandbox.postgres import Postgres
from sandbox.prometheus import PrometheusMissing
from sandbox.prometheus import install as install_prometheus
from sandbox.services import Services
from sandbox.toxiproxy import GoMissing, Toxiproxy
from sandbox.toxiproxy import install as install_toxiproxy
from shared.brokers import Brokers
from shared.kafka_trouble import UnreadableHeaders, headers_of

# Quix loads authlib for its schema registry client. On every import, authlib warns its own users about httpx.
with warnings.catch_warnings(record=True):
    import quixstreams  # noqa: F401

ROOT = Path(__file__).parents[1]

# No deadlines: how long an example takes says nothing about the code on a busy machine.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.register_profile("fuzz", max_examples=2000, deadline=None)  # for `make fuzz`
hypothesis.settings.load_profile("tests")

# Test processes that run side by side draw from separate ranges of ports.
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_ports = 12_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
sandbox_child.PORTS = (20_000 + _ports * _process, 20_000 + _ports * (_process + 1) - 1)

COORDINATOR_MOVES = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError._UNKNOWN_PARTITION,
)
"""Errors that a broker returns for a while after an outage, and that librdkafka passes on."""

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_SECONDS = 60.0
"""After this long an expected event counts as missing. No test uses it as a measurement."""


def until(condition, what, seconds=PATIENCE_SECONDS):
    """Wait until the condition returns something true, and return that."""
    give_up_at = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < give_up_at, f"not within {seconds:g} seconds: {what}"
        time.sleep(0.05)
    return answer


@pytest.fixture(scope="session")
def session_folder():
    # Not pytest's temporary folder: PostgreSQL does not run as root and must have access.
    folder = Path(tempfile.mkdtemp(prefix="integration-service-tests-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def session_services(session_folder):
    services = Services(session_folder, session_folder / "logs")
    yield services
    services.stop()


@pytest.fixture(scope="session")
def kafka(session_services):
    with ended_at_last(session_services.kafka) as broker:
        broker.start()
        yield broker


@pytest.fixture(scope="session")
def postgres(session_services):
    with ended_at_last(session_services.postgres) as cluster:
        cluster.start()
        cluster.create_database("template_tasks")
        cluster.apply_schema("template_tasks")
        cluster.create_processor("processor", "processor")
        yield cluster


@pytest.fixture(scope="session")
def toxiproxy_installed():
    installed(install_toxiproxy, GoMissing)


@pytest.fixture(scope="session")
def prometheus_installed():
    installed(install_prometheus, PrometheusMissing)


def installed(install, missing):
    """Install a tool that not every machine can have. If it is missing, the tests are skipped, but fail in CI."""
    try:
        install()
    except missing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


class JdkMissing(NotReady):
    """Java is installed without its compiler."""


def _find_jdk():
    listed = subprocess.run(["java", "--list-modules"], check=True, text=True, stdout=subprocess.PIPE).stdout
    if "jdk.compiler@" not in listed:
        raise JdkMissing("Java's compiler is missing (on Debian: apt-get install default-jdk-headless)")


@pytest.fixture(scope="session")
def jdk():
    installed(_find_jdk, JdkMissing)


@pytest.fixture(scope="session")
def toxiproxy(session_folder, toxiproxy_installed):
    server = Toxiproxy(session_folder / "logs")
    with ended_at_last(server), contextlib.closing(server):
        server.start()
        yield server


@pytest.fixture(scope="module")  # not longer: its event loop runs in the tests' own thread
def browser():
    """Chromium. If it is missing, the tests are skipped, but fail in CI."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "Chromium is missing: tools/install.sh tests installs it (on Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Database:
    """A database of one test, with the schema and no rows."""

    postgres: Postgres
    name: str

    @property
    def environment(self):
        """The settings of a processor that uses it, as a user whose only rights are those of the role of sql/."""
        return {
            "POSTGRES_HOST": self.postgres.host,
            "POSTGRES_PORT": str(self.postgres.port),
            "POSTGRES_USER": "processor",
            "POSTGRES_PASSWORD": "processor",
            "POSTGRES_DB": self.name,
        }

    def query(self, statement, *parameters):
        """Run a statement as the cluster's administrator and return its rows."""
        with psycopg.connect(self.postgres.conninfo(self.name), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def rows(self):
        """Return the stored rows as id -> (data, task type)."""
        return {
            row_id: rest for row_id, *rest in self.query("SELECT id, data, task_type::text FROM integration_service")
        }


def _headers(message):
    """Return a record's headers, or none if they cannot be read."""
    try:
        return headers_of(message)
    except UnreadableHeaders:
        return []


_database_numbers = itertools.count(1)


@pytest.fixture
def database(postgres):
    name = f"test_{next(_database_numbers)}"
    postgres.create_database(name, template="template_tasks")
    return Database(postgres, name)


@pytest.fixture
def cluster_pair(session_folder, tmp_path):
    """A primary and its standby."""
    clusters = []
    for name in ("one", "two"):
        folder = session_folder / tmp_path.name / name
        folder.mkdir(parents=True)
        (tmp_path / name).mkdir()
        clusters.append(Postgres(folder, tmp_path / name))
    one, two = clusters
    with ended_at_last(one), ended_at_last(two):
        one.start()
        one.apply_schema()
        one.create_processor("processor", "processor")
        two.follow(one)
        two.start()
        yield one, two


@dataclass
class Simulators:
    """The providers' simulators and their control."""

    url: str
    client: httpx.Client

    def control(self, **settings):
        """Set the simulators' behaviour until the test ends."""
        answer = self.client.put("/_control", json=settings)
        assert answer.status_code == 200, answer.text

    def requests(self):
        """Return the counts of requests and answers so far."""
        return self.client.get("/_requests").json()

    def calls(self, provider):
        """Return how many requests the provider has received."""
        return self.requests()["providers"][provider].get("requests", 0)


@pytest.fixture(scope="session")
def simulators_process(session_services):
    _, url = session_services.start_simulators("--latency-ms", "10")
    with httpx.Client(base_url=url) as client:
        yield Simulators(str(client.base_url), client)


@pytest.fixture
def simulators(simulators_process):
    simulators_process.control(latency_ms=10, remember_inputs=True)
    simulators_process.client.delete("/_requests")
    return simulators_process


@dataclass(frozen=True)
class Seen:
    """A record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list
    at: float
    """Its timestamp, in seconds since 1970."""

    @property
    def json(self):
        return json.loads(self.value)

    def header(self, name):
        """Return the header's last value, or None."""
        return dict(self.headers).get(name)


@dataclass
class Topics:
    """The topics of one test, created before any program runs."""

    kafka: Kafka
    name: str
    partitions: int = 4
    seen: list = field(default_factory=list)

    def __post_init__(self):
        self.results, self.dead_letters = f"{self.name}-results", f"{self.name}-dlt"
        self.admin = AdminClient(self.kafka.connection)
        new = [
            NewTopic(self.name, self.partitions),
            NewTopic(self.results, self.partitions),
            NewTopic(self.dead_letters, self.partitions, config={"max.message.bytes": "2097152"}),
        ]
        for made in self.admin.create_topics(new).values():
            made.result(30)
        self.producer = Producer(
            {
                **self.kafka.connection,
                "message.max.bytes": 2_000_000,
                "enable.idempotence": True,  # else retries change the order
            }
        )
        self._read_on()

    def close(self):
        self.consumer.close()

    def _read_on(self):
        """Read the result and dead-letter topics with a new client, from the records after those already seen."""
        self.brokers = Brokers()
        self.consumer = Consumer(
            {
                **self.kafka.connection,
                **self.brokers.properties,
                "group.id": f"{self.name}-test",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        starts = {(topic, n): 0 for topic in (self.results, self.dead_letters) for n in range(self.partitions)}
        starts |= {(seen.topic, seen.partition): seen.offset + 1 for seen in self.seen}
        self.consumer.assign([TopicPartition(*partition, offset) for partition, offset in starts.items()])

    @property
    def environment(self):
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "KAFKA_IMPORT_TOPIC": self.name,
            "KAFKA_RESULT_TOPIC": self.results,
            "KAFKA_CONSUMER_GROUP": f"{self.name}-group",
        }

    def send(self, *values, key=None, headers=None):
        """Put values on the import topic and wait until Kafka has them."""
        for value in values:
            self.producer.produce(self.name, value, key=key, headers=headers or [])
            self.producer.poll(0)
        assert self.producer.flush(30) == 0

    def send_tasks(self, numbers, task_type="phone"):
        """Send one task per number, spread over the partitions. The number is its task_id and part of its data."""
        for n in numbers:
            task = {"task_id": n, "task_type": task_type, "data": f"8 916 {n}"}
            self.producer.produce(self.name, json.dumps(task).encode(), partition=n % self.partitions)
            self.producer.poll(0)
        assert self.producer.flush(60) == 0

    def alter(self, topic, **settings):
        """Change a topic's settings; underscores in their names stand for dots."""
        entries = [
            ConfigEntry(name.replace("_", "."), str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        self.admin.incremental_alter_configs([resource])[resource].result(30)

    def add_partitions(self, partitions):
        """Increase the number of partitions of all three topics."""
        new = [NewPartitions(topic, partitions) for topic in (self.name, self.results, self.dead_letters)]
        for made in self.admin.create_partitions(new).values():
            made.result(30)

    def id(self):
        """Return Kafka's id of the import topic."""
        return str(self.admin.describe_topics(TopicCollection([self.name]))[self.name].result(30).topic_id)

    def make_again(self, gone_seconds=0.0, topic=None, partitions=None):
        """Delete a topic, by default that of tasks, and create it again under the same name after this many seconds."""
        name = topic or self.name
        if name in self.admin.list_topics(timeout=10).topics:
            self.admin.delete_topics([name])[name].result(30)
        time.sleep(gone_seconds)

        def made_again():
            try:
                self.admin.create_topics([NewTopic(name, partitions or self.partitions)])[name].result(30)
            except KafkaException:  # Kafka may still be deleting it
                return False
            return True

        until(made_again, "the topic to be made again")

    def read(self):
        """Read new records of the result and the dead-letter topic, and return all records seen so far."""
        if self.brokers.forgotten:
            self.consumer.close()
            self._read_on()
        for message in self.consumer.consume(5000, 0.1):
            assert message.error() is None, message.error()
            self.seen.append(
                Seen(
                    message.topic(),
                    message.partition(),
                    message.offset(),
                    message.key(),
                    message.value(),
                    _headers(message),
                    message.timestamp()[1] / 1000,
                )
            )
        return self.seen

    def read_results(self):
        """Return task_id -> the ids in its results."""
        results = {}
        for seen in self.read():
            if seen.topic == self.results:
                assert seen.json.keys() == {"task_id", "id"}
                results.setdefault(seen.json["task_id"], []).append(seen.json["id"])
        return results

    def read_dead_letters(self):
        return [seen for seen in self.read() if seen.topic == self.dead_letters]

    def lag(self, group=None):
        """Return the group's consumer lag on the import topic, or None while its coordinator moves."""
        consumer = Consumer({**self.kafka.connection, "group.id": group or f"{self.name}-group"})
        try:
            committed = consumer.committed([TopicPartition(self.name, n) for n in range(self.partitions)], timeout=30)
            ends = [consumer.get_watermark_offsets(partition, timeout=30)[1] for partition in committed]
        except KafkaException as error:
            if error.args[0].code() in COORDINATOR_MOVES:
                return None
            raise
        else:
            return sum(end - max(0, partition.offset) for partition, end in zip(committed, ends, strict=True))
        finally:
            consumer.close()


@pytest.fixture
def topics(kafka):
    topics = Topics(kafka, f"test-{uuid.uuid4().hex[:8]}")
    yield topics
    topics.close()


class Program(Child):
    """A processor or a gateway of one test."""

    url = ""
    client = None

    def serve_at(self, port):
        """Set the port on which it will listen."""
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE_SECONDS)

    def answers(self, path, status=200):
        """Return whether a GET is answered with the status."""
        try:
            return httpx.get(self.url + path, timeout=5).status_code == status
        except httpx.TransportError:
            return False

    def wait(self):
        """Wait until it is ready."""
        self.wait_until(lambda: self.answers("/health/ready"))
        return self

    def log_text(self):
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def start(request, tmp_path, topics):
    """Return a function that starts `processor` or `gateway` with its environment and waits until it is ready."""
    programs = []

    def start(package, *environments, wait=True, arguments=(), folder=ROOT, **settings):
        number = len(programs) + 1
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            **topics.environment,
            "PROCESSOR_HTTP_PORT": str(port),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "LOG_LEVEL": "DEBUG",
        }
        for more in (*environments, settings):
            environment |= {name: str(value) for name, value in more.items()}
        environment = {name: value for name, value in environment.items() if value != "None"}
        program = Program(
            f"{package} {number}",
            [sys.executable, "-m", package, *arguments],
            tmp_path / f"{package}-{number}.log",
            environment=environment,
            folder=folder,
        )
        program.serve_at(port)
        programs.append(program)
        program.start()
        return program.wait() if wait else program

    yield start
    for program in programs:
        program.kill()
        program.client.close()
        assert "unforeseen" not in program.log_text() or "unforeseen" in request.node.name, program.log_text()


@pytest.fixture
def start_processor(start, database, simulators):
    """Return a function that starts a processor with the test's topics, database and simulators."""
    providers = {
        "DADATA_API_KEY": "key",
        "DADATA_SECRET_KEY": "secret",
        "DADATA_URL": simulators.url,
        "DADATA_REQUESTS_PER_SECOND": "0",
        "DADATA_NEW_CONNECTIONS_PER_MINUTE": "0",
        "YANDEXGPT_API_KEY": "key",
        "YANDEXGPT_FOLDER_ID": "folder",
        "YANDEXGPT_URL": simulators.url,
    }

    def start_processor(**options):
        return start("processor", database.environment, providers, **options)

    return start_processor


@contextlib.contextmanager
def ended_at_last(child):
    """Stop the child at the end of the block, even if the block raises."""
    try:
        yield child
    finally:
        child.resume()
        child.stop()
