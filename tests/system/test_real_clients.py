"""Third-party clients: Java's HttpClient, Kafka's console producer, franz-go."""

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from sandbox.kafka import cache_folder
from sandbox.kafka import install as install_jars
from sandbox.toxiproxy import GoMissing
from tests.conftest import installed, until

CLIENTS = Path(__file__).parents[1] / "clients"
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")
CLIENT_SECONDS = 120
BUILD_SECONDS = 600


def run(*command, said=""):
    """Run a client to its end, and return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        input=said,
        encoding="utf-8",
        capture_output=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def task(number):
    return json.dumps({"task_id": number, "task_type": "phone", "data": f"8 916 {number}"})


@pytest.fixture(scope="module")
def console_producer():
    """Return the command of Kafka's console producer."""
    jars, tools = install_jars(), install_jars(CLIENTS / "kafka-tools-pom.xml")
    return ["java", "-Xmx256m", "-cp", f"{tools}/*:{jars}/*", "org.apache.kafka.tools.ConsoleProducer"]


def _build_franz():
    """Build the Go client if it is not built yet, and return the program's path.

    Raises:
        GoMissing: Go is not installed.
    """
    source = CLIENTS / "franz"
    content = b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    built = cache_folder() / f"franz-{hashlib.sha256(content).hexdigest()[:12]}"
    if built.exists():
        return built
    if shutil.which("go") is None:
        raise GoMissing("franz-go is built with Go, which is not installed (on Debian: apt-get install golang-go)")
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="franz-", dir=built.parent) as folder:
        subprocess.run(["go", "build", "-o", f"{folder}/franz", "."], cwd=source, check=True, timeout=BUILD_SECONDS)
        Path(folder, "franz").rename(built)  # may replace the same program, built by another run
    return built


@pytest.fixture(scope="module")
def franz():
    """Return the program built from tests/clients/franz."""
    installed(_build_franz, GoMissing)
    return _build_franz()


def test_javas_http_client_gets_its_results_one_by_one_and_at_once(jdk, start, start_processor, database):
    start_processor()
    gateway = start("gateway")
    ids = set()

    for version in ("HTTP_2", "HTTP_1_1"):
        for body in ("string", "stream", "expect"):
            lines = run("java", CLIENTS / "Client.java", gateway.url, version, body).splitlines()
            answers = [line.split(" ", 1) for line in lines]
            assert [status for status, _ in answers] == ["200"] * 15, (version, body, answers)
            results = [json.loads(text) for _, text in answers]
            assert [result["task_id"] for result in results] == list(range(15)), (version, body)
            ids |= {result["id"] for result in results}

    assert len(ids) == 6 * 15
    assert ids == database.rows().keys()


def test_kafkas_console_producer_gets_its_results_however_it_compresses(
    console_producer, topics, start_processor, database
):
    start_processor()

    for number, compression in enumerate(COMPRESSIONS):
        tasks = range(number * 20, number * 20 + 20)
        run(
            *(*console_producer, "--bootstrap-server", topics.kafka.bootstrap_servers, "--topic", topics.name),
            *("--compression-codec", compression),
            *("--property", "parse.key=true", "--property", "parse.headers=true"),
            said="".join(f"codec:{compression},имя:{n}\tключ {n}\t{task(n)}\n" for n in tasks),
        )

    until(lambda: len(topics.read()) == 100, "the results")
    assert {seen.json["task_id"]: seen.json["id"] for seen in topics.seen}.keys() == set(range(100))
    assert {seen.json["id"] for seen in topics.seen} == database.rows().keys()
    for seen in topics.seen:
        n = seen.json["task_id"]
        assert seen.topic == topics.results
        assert seen.key.decode() == f"ключ {n}"
        assert seen.headers == [("codec", COMPRESSIONS[n // 20].encode()), ("имя", str(n).encode())]


ODD_HEADERS = [
    *(("", b""), ("", b"1"), ("", None)),
    *(("again", b"1"), ("again", None), ("again", b"1")),
    *(("имя", "значение".encode()), ("bytes", bytes(range(256))), ("a" * 1000, b"long")),
]


def batch(*numbers, transaction="", compression="", headers=()):
    """Return records that the Go client sends in one batch."""
    return {
        "Transaction": transaction,
        "Compression": compression,
        "Records": [
            {
                "Key": _base64(b"key %d" % number),
                "Value": _base64(task(number).encode()),
                "Headers": [{"Name": name, "Value": _base64(value)} for name, value in headers],
            }
            for number in numbers
        ],
    }


def _base64(value):
    return None if value is None else base64.b64encode(value).decode()


def _of_base64(text):
    return None if text is None else base64.b64decode(text)


def test_franz_go_gets_its_results_with_odd_headers_and_of_committed_transactions_alone(
    franz, topics, start_processor, database, simulators
):
    start_processor()
    batches = [
        *(batch(n, compression=name, headers=ODD_HEADERS) for n, name in enumerate(["", *COMPRESSIONS[1:]], 1)),
        batch(11, 12, transaction="commit", headers=ODD_HEADERS),
        batch(21, 22, transaction="abort"),
        batch(31, transaction="abort", compression="zstd"),
        batch(13, transaction="commit", compression="gzip", headers=ODD_HEADERS),
        batch(6, headers=ODD_HEADERS),
    ]

    run(franz, "send", topics.kafka.bootstrap_servers, topics.name, said=json.dumps(batches))

    lines = run(franz, "read", topics.kafka.bootstrap_servers, topics.results, 9).splitlines()
    records = [json.loads(line) for line in lines]
    results = {json.loads(_of_base64(record["Value"]))["task_id"]: record for record in records}
    assert results.keys() == {*range(1, 7), 11, 12, 13}
    assert {json.loads(_of_base64(record["Value"]))["id"] for record in records} == database.rows().keys()
    for number, record in results.items():
        assert _of_base64(record["Key"]) == b"key %d" % number
        headers = [(header["Name"], _of_base64(header["Value"])) for header in record["Headers"]]
        assert headers == ODD_HEADERS
    paid = simulators.requests()["answered"]
    assert [text for text in paid if text in {"8 916 21", "8 916 22", "8 916 31"}] == []
    assert len(paid) == len(results)
