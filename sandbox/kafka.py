"""Kafka on this machine: KRaft nodes of Apache Kafka, from Maven artifacts."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from sandbox.child import Child, NotReady, free_port

POM = Path(__file__).with_name("kafka-pom.xml")
FETCH_SECONDS = 600
ASK_SECONDS = 10.0
OFFSETS_PARTITIONS = 4
"""Partitions of the topic of committed offsets. A group's coordinator is the leader of one of them."""

# A broker of a test-suite starts often and lives for minutes: start-up counts more than its last per cent of speed.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_QUIET = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


@dataclass(frozen=True)
class Security:
    """What makes a broker that takes nobody without TLS and a password, and refuses what no ACL allows."""

    ca: Path
    """PEM file with the CA's certificate."""
    certificate: Path
    """PEM file with the broker's key and its certificate, which is for `localhost`."""
    password: str
    """Of the user `admin`, who may do everything."""

    @property
    def connection(self) -> dict[str, str]:
        """librdkafka's connection properties of `admin`, but for where the broker is."""
        return {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "admin",
            "sasl.password": self.password,
            "ssl.ca.location": str(self.ca),
        }

    @property
    def properties(self) -> dict[str, str]:
        """The broker's properties. ANONYMOUS is the broker itself, at the listener of its controller."""
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificate),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
                f'{login} username="admin" password="{self.password}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",
        }


class Kafka(Child):
    """One broker with its data in `folder`. Stopped or killed, it starts again with the same data at the same port."""

    def __init__(
        self,
        folder: Path,
        log_folder: Path,
        *,
        outlive: bool = False,
        proxied_port: int | None = None,
        security: Security | None = None,
        number: int = 1,
        controller_ports: Sequence[int] = (),
    ) -> None:
        """Choose its ports; nothing is started or fetched.

        Args:
            folder: where its data lies.
            log_folder: where its log lies.
            outlive: whether it goes on when this process ends.
            proxied_port: port of a proxy in front of `upstream_port`. Clients that come through it are told to come
                back through it; at `port` they reach the broker itself.
            security: what to require of clients; None lets everybody in.
            number: its node id, from 1 to the number of brokers in its cluster.
            controller_ports: the controller port of each broker in its cluster; by default it is alone.
        """
        name = "kafka" if not controller_ports else f"kafka-{number}"
        self._data = folder / name
        self._number = number
        self._controller_ports = controller_ports or (free_port(),)
        self.port = free_port()
        self.proxied_port = proxied_port
        self.upstream_port = free_port()
        self._security = security
        self._host = "127.0.0.1" if security is None else "localhost"
        self.bootstrap_servers = f"{self._host}:{self.port}"
        self.connection = {
            "bootstrap.servers": self.bootstrap_servers,
            **({} if security is None else security.connection),
        }
        """librdkafka's connection properties of a client that may do everything."""
        self._properties = self._data / "server.properties"
        super().__init__(name.capitalize(), [], log_folder / f"{name}.log", outlive=outlive)

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not.
        """
        self.start_soon()
        self.wait()

    def start_soon(self) -> None:
        """Start it without waiting."""
        jars = install()
        if not self._properties.exists():
            self._format(jars)
        heap = "-Xmx1g" if len(self._controller_ports) == 1 else "-Xmx512m"
        self._command = _java(jars, "kafka.Kafka", str(self._properties), heap=heap)
        super().start()

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not.
        """
        self.wait_until(self._answers)

    @property
    def quorum_state(self) -> tuple[int, int]:
        """The latest epoch of the controllers that it knows, and that epoch's leader; -1 while it knows none."""
        with contextlib.suppress(OSError, ValueError):  # it is not started yet, or is writing the file
            state = json.loads((self._data / "log" / "__cluster_metadata-0" / "quorum-state").read_text())
            return state["leaderEpoch"], state["leaderId"]
        return -1, -1

    def _answers(self) -> bool:
        return len(_metadata(self.connection, seconds=0.5).brokers) == len(self._controller_ports)

    def _format(self, jars: Path) -> None:
        controller_port = self._controller_ports[self._number - 1]
        brokers = len(self._controller_ports)
        replicas, in_sync = str(brokers), str(brokers // 2 + 1)
        self._data.mkdir(parents=True, exist_ok=True)
        protocol = "PLAINTEXT" if self._security is None else "SASL_SSL"
        listeners, advertised = {protocol: self.port}, {protocol: self.port}
        if self.proxied_port is not None:
            listeners["PROXIED"], advertised["PROXIED"] = self.upstream_port, self.proxied_port
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(self._number),
            "controller.quorum.voters": ",".join(
                f"{number}@127.0.0.1:{port}" for number, port in enumerate(self._controller_ports, 1)
            ),
            "listeners": self._addresses({**listeners, "CONTROLLER": controller_port}),
            "advertised.listeners": self._addresses(advertised),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": protocol,
            "listener.security.protocol.map": (f"CONTROLLER:PLAINTEXT,{protocol}:{protocol},PROXIED:PLAINTEXT"),
            "log.dirs": str(self._data / "log"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": str(OFFSETS_PARTITIONS),
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "group.initial.rebalance.delay.ms": "0",
            # A broker that was killed is let in again when the controller, which is itself, has given its old life up.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            **({} if self._security is None else self._security.properties),
        }
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        new = self._properties.with_suffix(".new")
        new.write_text(text)
        cluster_id = "MkU3OEVBNTcwNTJENDM2Qg"
        arguments = ["format", "--ignore-formatted", "-t", cluster_id, "-c", str(new)]
        if self._security is not None:
            arguments += ["--add-scram", f"SCRAM-SHA-512=[name=admin,password={self._security.password}]"]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            subprocess.run(_java(jars, "kafka.tools.StorageTool", *arguments), check=True, stdout=log, stderr=log)
        new.rename(self._properties)

    def _addresses(self, ports: dict[str, int]) -> str:
        return ",".join(f"{name}://{self._host}:{port}" for name, port in ports.items())


class KafkaCluster:
    """Brokers, each also a controller, whose topics have a replica on each. Any one may be away."""

    def __init__(self, folder: Path, log_folder: Path, *, brokers: int = 3) -> None:
        """Choose their ports; nothing is started or fetched.

        Args:
            folder: where their data lies.
            log_folder: where their logs lie.
            brokers: how many, an odd number from 3 on.
        """
        controller_ports = [free_port() for _ in range(brokers)]
        self.brokers = [
            Kafka(folder, log_folder, number=number, controller_ports=controller_ports)
            for number in range(1, brokers + 1)
        ]
        """Node 1 first."""
        self.bootstrap_servers = ",".join(broker.bootstrap_servers for broker in self.brokers)
        self.connection = {"bootstrap.servers": self.bootstrap_servers, "socket.timeout.ms": "10000"}
        """librdkafka's connection properties of a client that gives a paused broker up after 10 seconds, not 60."""

    def start(self) -> None:
        """Start or resume those that are not running, and wait until each knows all others.

        Raises:
            sandbox.child.NotReady: one does not.
        """
        for broker in self.brokers:
            broker.resume()
            if not broker.running:
                broker.start_soon()
        for broker in self.brokers:
            broker.wait()

    def stop(self) -> None:
        """Stop all of them, those that are paused too. Nothing is lost."""
        for broker in self.brokers:
            broker.kill()  # a controller without a quorum would wait for one

    def leader(self, topic: str, partition: int) -> Kafka:
        """Return the broker that leads a partition.

        Raises:
            LookupError: none does, or no broker answers.
        """
        metadata = _metadata(self.connection)
        try:
            return self._broker(metadata.topics[topic].partitions[partition].leader)
        except KeyError:
            raise LookupError(f"there is no partition {topic}[{partition}]") from None

    def coordinator(self, group: str) -> Kafka:
        """Return the broker that coordinates a consumer group. Kafka knows none before the first group is asked for.

        Raises:
            LookupError: none does, or no broker answers.
        """
        return self.leader("__consumer_offsets", _java_hash(group) % OFFSETS_PARTITIONS)

    def controller(self) -> Kafka:
        """Return the broker that is the active controller, by what the brokers have on disk.

        Raises:
            LookupError: none is.
        """
        return self._broker(max(broker.quorum_state for broker in self.brokers)[1])

    def _broker(self, number: int) -> Kafka:
        if number not in range(1, len(self.brokers) + 1):
            raise LookupError("there is no such broker now")
        return self.brokers[number - 1]


def _metadata(connection: dict[str, str], seconds: float = ASK_SECONDS) -> Any:
    """Return what Kafka says about its brokers and topics; nothing is in it where it does not answer."""
    try:
        return AdminClient({**connection, "log_level": 0}).list_topics(timeout=seconds)
    except KafkaException:
        return ClusterMetadata()


def _java_hash(text: str) -> int:
    """Return the non-negative `String.hashCode` by which Kafka finds a group's coordinator. The text must be ASCII."""
    number = 0
    for character in text:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return number & 0x7FFFFFFF


def cache_folder() -> Path:
    """Return where what is fetched once is kept, for all checkouts."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "integration-service"


def jar_folder(pom: Path = POM) -> Path:
    """Return where the artifacts are or will be: one folder for all checkouts with the same versions."""
    return cache_folder() / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"


def install(pom: Path = POM) -> Path:
    """Fetch the artifacts where they are not there yet, and return their folder. Safe to interrupt and to run twice.

    Raises:
        NotReady: Maven cannot fetch them.
    """
    folder = jar_folder(pom)
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetched = Path(tempfile.mkdtemp(prefix="kafka-", dir=folder.parent))
    try:
        fetching = subprocess.run(
            ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={fetched}"],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FETCH_SECONDS,
        )
        if fetching.returncode != 0:
            raise NotReady(f"Kafka cannot be fetched. Maven says:\n{fetching.stdout[-2000:]}")
        if not folder.exists():  # another run may have been faster
            fetched.rename(folder)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return folder


def _java(jars: Path, *arguments: str, heap: str = "-Xmx512m") -> list[str]:
    return ["java", heap, *_JVM, *_QUIET, "-cp", f"{jars}/*", *arguments]
