"""Kafka on this machine: KRaft nodes of Apache Kafka, fetched as Maven artifacts."""

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
from typing import Any, ClassVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from sandbox.child import Child, NotReady, free_port

POM = Path(__file__).with_name("kafka-pom.xml")
FETCH_SECONDS = 600
ASK_SECONDS = 10.0
OFFSETS_PARTITIONS = 4
"""Partitions of `__consumer_offsets`. A group's coordinator is the leader of one of them."""

# A test suite starts brokers often and keeps them for minutes: a fast start matters more than peak throughput.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_QUIET = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


@dataclass(frozen=True)
class Security:
    """A broker's security: it accepts only clients with TLS and a password, and refuses whatever no ACL allows.

    A subclass may require something else of clients.
    """

    protocol: ClassVar[str] = "SASL_SSL"
    """Kafka's name of the protocol that clients use."""
    java_options: ClassVar[Sequence[str]] = ()
    """Options of the broker's Java."""

    ca: Path
    """PEM file with the CA's certificate."""
    certificate: Path
    """PEM file with the broker's key and certificate. The certificate is for `localhost`."""
    password: str
    """Password of the user `admin`, who has all rights."""

    @property
    def connection(self) -> dict[str, str]:
        """librdkafka's connection properties for `admin`, without the broker's address."""
        return {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "admin",
            "sasl.password": self.password,
            "ssl.ca.location": str(self.ca),
        }

    @property
    def properties(self) -> dict[str, str]:
        """The broker's properties. ANONYMOUS is the broker itself, connected to its controller's listener."""
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
    """One broker with its data in `folder`. After a stop or a kill it restarts with the same data and port."""

    def __init__(
        self,
        folder: Path,
        log_folder: Path,
        *,
        outlive: bool = False,
        proxied_port: int | None = None,
        security: Security | None = None,
        port: int | None = None,
        number: int = 1,
        controller_ports: Sequence[int] = (),
    ) -> None:
        """Choose its ports without starting or fetching anything.

        Args:
            folder: folder for its data.
            log_folder: folder for its log.
            outlive: whether it keeps running after this process ends.
            proxied_port: port of a proxy in front of `upstream_port`. The broker advertises this port to clients that
                connect through the proxy; `port` bypasses the proxy.
            security: what clients need to connect; None admits all clients.
            port: its port for clients; None chooses one.
            number: its node id, from 1 to the number of brokers in its cluster.
            controller_ports: the controller port of each broker in its cluster; empty for a single broker.
        """
        name = "kafka" if not controller_ports else f"kafka-{number}"
        self._data = folder / name
        self._number = number
        self._controller_ports = controller_ports or (free_port(),)
        self.port = port or free_port()
        self.proxied_port = proxied_port
        self.upstream_port = free_port()
        self._security = security
        self._host = "127.0.0.1" if security is None else "localhost"
        self.bootstrap_servers = f"{self._host}:{self.port}"
        self.connection = {
            "bootstrap.servers": self.bootstrap_servers,
            **({} if security is None else security.connection),
        }
        """librdkafka's connection properties for a client with all rights."""
        self._properties = self._data / "server.properties"
        super().__init__(name.capitalize(), [], log_folder / f"{name}.log", outlive=outlive)

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not answer.
        """
        self.start_soon()
        self.wait()

    def start_soon(self) -> None:
        """Start it without waiting."""
        jars = install()
        if not self._properties.exists():
            self._format(jars)
        heap = "-Xmx1g" if len(self._controller_ports) == 1 else "-Xmx512m"
        options = () if self._security is None else self._security.java_options
        self._command = _java(jars, *options, "kafka.Kafka", str(self._properties), heap=heap)
        super().start()

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            sandbox.child.NotReady: it does not answer.
        """
        self.wait_until(self._answers)

    @property
    def quorum_state(self) -> tuple[int, int]:
        """The latest controller epoch that it knows, and that epoch's leader; both -1 if it knows none."""
        with contextlib.suppress(OSError, ValueError):  # it has not started yet, or is writing the file
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
        protocol = "PLAINTEXT" if self._security is None else self._security.protocol
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
            # After a kill the broker can register again only once the controller, which is itself, has expired its old
            # session.
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
    """A cluster of brokers that are also controllers, with a replica of each partition on each. One may be down."""

    def __init__(self, folder: Path, log_folder: Path, *, brokers: int = 3) -> None:
        """Choose their ports without starting or fetching anything.

        Args:
            folder: folder for their data.
            log_folder: folder for their logs.
            brokers: number of brokers, odd and at least 3.
        """
        controller_ports = [free_port() for _ in range(brokers)]
        self.brokers = [
            Kafka(folder, log_folder, number=number, controller_ports=controller_ports)
            for number in range(1, brokers + 1)
        ]
        """Node 1 first."""
        self.bootstrap_servers = ",".join(broker.bootstrap_servers for broker in self.brokers)
        self.connection = {"bootstrap.servers": self.bootstrap_servers, "socket.timeout.ms": "10000"}
        """librdkafka's connection properties for a client that gives up on a paused broker after 10 seconds, not 60."""

    def start(self) -> None:
        """Start or resume the brokers that are not running, and wait until each knows all others.

        Raises:
            sandbox.child.NotReady: one of them does not.
        """
        for broker in self.brokers:
            broker.resume()
            if not broker.running:
                broker.start_soon()
        for broker in self.brokers:
            broker.wait()

    def stop(self) -> None:
        """Stop all of them, including paused ones. No data is lost."""
        for broker in self.brokers:
            broker.kill()  # a clean stop would wait for a quorum of controllers

    def leader(self, topic: str, partition: int) -> Kafka:
        """Return the broker that leads a partition.

        Raises:
            LookupError: the partition has no leader, or no broker answers.
        """
        metadata = _metadata(self.connection)
        try:
            return self._broker(metadata.topics[topic].partitions[partition].leader)
        except KeyError:
            raise LookupError(f"there is no partition {topic}[{partition}]") from None

    def coordinator(self, group: str) -> Kafka:
        """Return the broker that coordinates a consumer group. There is none before the first request for a group.

        Raises:
            LookupError: the group has no coordinator, or no broker answers.
        """
        return self.leader("__consumer_offsets", _java_hash(group) % OFFSETS_PARTITIONS)

    def controller(self) -> Kafka:
        """Return the broker that is the active controller, according to the brokers' files.

        Raises:
            LookupError: there is none.
        """
        return self._broker(max(broker.quorum_state for broker in self.brokers)[1])

    def _broker(self, number: int) -> Kafka:
        if number not in range(1, len(self.brokers) + 1):
            raise LookupError("there is no such broker now")
        return self.brokers[number - 1]


def _metadata(connection: dict[str, str], seconds: float = ASK_SECONDS) -> Any:
    """Return Kafka's metadata of its brokers and topics; empty if Kafka does not answer."""
    try:
        return AdminClient({**connection, "log_level": 0}).list_topics(timeout=seconds)
    except KafkaException:
        return ClusterMetadata()


def _java_hash(text: str) -> int:
    """Return Java's `String.hashCode` without its sign bit, as Kafka uses it to find a group's coordinator.

    The text must be ASCII.
    """
    number = 0
    for character in text:
        number = (31 * number + ord(character)) & 0xFFFFFFFF
    return number & 0x7FFFFFFF


def cache_folder() -> Path:
    """Return the folder for downloads that all checkouts share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "integration-service"


def jar_folder(pom: Path = POM) -> Path:
    """Return the folder for the artifacts, shared by all checkouts with the same versions. It may not exist yet."""
    return cache_folder() / f"kafka-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"


def install(pom: Path = POM) -> Path:
    """Fetch the artifacts unless they are cached, and return their folder. Safe to interrupt and to run twice.

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
            raise NotReady(f"Maven cannot fetch what {pom.name} names. It said:\n{fetching.stdout[-2000:]}")
        if not folder.exists():  # another run may have been faster
            fetched.rename(folder)
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
    return folder


def _java(jars: Path, *arguments: str, heap: str = "-Xmx512m") -> list[str]:
    return ["java", heap, *_JVM, *_QUIET, "-cp", f"{jars}/*", *arguments]
