"""No personal data and no secret leaks: canaries on every path through both programs, everything real.

Canaries may appear only where they belong: in the record's own value, key and headers, in the row, in the requests to
the providers and in the headers for the collector. Every other byte that the programs output is searched.
"""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from tests.conftest import PATIENCE_SECONDS, ROOT, until
from tests.fuzz.canary import CYRILLIC, FORMS, NAME, VALUES, leaks
from tests.system import test_traces

collector = test_traces.collector

KINDS = ("phone", "email", "gpt")
SECRETS = {
    name: f"{NAME}.{name.lower()}"
    for name in ("DADATA_API_KEY", "DADATA_SECRET_KEY", "YANDEXGPT_API_KEY", "SECRET_KEY", "KAFKA_SASL_PASSWORD")
}
TOKEN = f"{base64.urlsafe_b64encode(b'{}').decode()}.{NAME}.{NAME}"


class Provider:
    """Both providers. The task's data selects the kind of answer, which repeats everything that was sent."""

    def __init__(self):
        provider = self
        self.seen = set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                provider.seen |= {value for name, value in self.headers.items() if NAME in value}
                asked = re.search(r"#(\w+)", body.decode())
                token = self.headers["authorization"]
                self.wfile.write(answer(self.path, asked[1] if asked else "ok", f"{token} {body.decode()}"))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def answer(path, kind, said):
    """Return an answer of this kind that contains `said` in every place where text may stand."""
    text = {"nul": f"{said}\0"}.get(kind, said)
    if path.endswith("completion"):
        value = {"alternatives": [{"message": {"text": text}, "status": "ALTERNATIVE_STATUS_FINAL"}], NAME: said}
        value = {"result": value}
    else:
        value = [{"source": text, "phone": said, "email": said, "qc": 0, NAME: said}]
    body = json.dumps(value).encode()
    status = f"200 {NAME}"
    match kind:
        case "junk":
            body = f"<html>{said}".encode()
        case "shape":
            body = json.dumps({said: said}).encode()
        case "field":
            body = json.dumps([{"qc": said}]).encode()
        case "infinite":
            body = body.replace(b'"qc": 0', b'"qc": 1e999').replace(b'"status"', b'"n": 1e999, "status"')
        case "rubbish":
            return said.encode()
        case _ if kind.isdecimal():
            status = f"{kind} {NAME}"
            body = json.dumps({"message": f"Feature 'CLEAN' disabled for token '{said}'."}).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nRetry-After: {NAME}\r\nLocation: /{NAME}\r\n"
    return f"{head}Set-Cookie: {NAME}={NAME}\r\nX-{NAME}: {NAME}\r\n\r\n".encode() + body


FAILING = (
    "400",
    "413",
    "404",
    "302",
    "429",
    "500",
    "501",
    "503",
    "junk",
    "shape",
    "field",
    "infinite",
    "rubbish",
    "nul",
)
ACCOUNT = ("401", "403")

SOON_SECONDS = 10.0
"""How long everything may take until it is helped."""


def tasks():
    """Yield tasks that succeed and tasks that fail in every way, but never ten failures in a row."""
    for number, (kind, what) in enumerate((kind, what) for what in FAILING for kind in KINDS):
        yield {"task_id": number, "task_type": kind, "data": f"{VALUES['quotes']} #{what}"}
        yield {"task_id": number, "task_type": kind, "data": list(VALUES.values())[number % len(VALUES)]}


def no_tasks():
    """Return values that are not tasks, with the canary in every place of a task."""
    task = {"task_id": 1, "task_type": "phone", "data": VALUES["quotes"]}
    return [
        NAME.encode(),
        CYRILLIC.encode("utf-16"),
        b"\xff" + NAME.encode(),
        json.dumps(task).encode()[:-1],
        json.dumps(task).encode() + NAME.encode(),
        json.dumps([task]).encode(),
        json.dumps({NAME: NAME}).encode(),
        json.dumps({**task, "task_id": NAME}).encode(),
        json.dumps({**task, "task_type": NAME}).encode(),
        json.dumps({**task, "task_type": {NAME: NAME}}).encode(),
        json.dumps({**task, "data": {NAME: NAME}}).encode(),
        json.dumps({**task, "data": f"{NAME}\ud83d"}).encode(),
        json.dumps({**task, "data": NAME * 100}).encode(),
        b'{"task_id": 1, "%s": \\%s' % (NAME.encode(), NAME.encode()),
        b"[" * 5000 + NAME.encode(),
        NAME.encode() * 50_000,
    ]


def all_done(topics):
    """Wait until all tasks are done. Where a provider rejects all that are left, they wait for one that it takes."""
    next_at = time.monotonic() + SOON_SECONDS

    def done():
        nonlocal next_at
        if time.monotonic() > next_at:
            topics.send(*(json.dumps({"task_id": 1, "task_type": kind, "data": NAME}).encode() for kind in KINDS))
            next_at = time.monotonic() + SOON_SECONDS
        return topics.lag() == 0

    until(done, "everything to be done", 3 * PATIENCE_SECONDS)


def exchange(url, sent):
    """Send bytes and return everything received until the connection is closed."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")
        return ""


def odd_requests(url):
    """Send requests with canaries in all other places of HTTP, and return the answers."""
    head = f"Host: {NAME}\r\nConnection: close\r\nX-{NAME}: {NAME}\r\nCookie: {NAME}={NAME}\r\nUser-Agent: {NAME}\r\n"
    head += f"Authorization: Bearer {TOKEN}\r\nX-Request-ID: {NAME}{'x' * 200}\r\nReferer: http://{NAME}/\r\n"
    lines = [
        f"GET /{NAME} HTTP/1.1",
        f"GET /tasks/{NAME}?{NAME}={NAME} HTTP/1.1",
        f"GET /{quote(CYRILLIC)}/%00{NAME} HTTP/1.1",
        f"GET /metrics?{NAME} HTTP/1.1",
        f"GET /health/ready?{NAME} HTTP/1.1",
        f"GET /health/live/{NAME} HTTP/1.1",
        f"DELETE /tasks/{NAME} HTTP/1.1",
        f"{NAME.upper()} /tasks HTTP/1.1",
        f"GET http://{NAME}/tasks HTTP/1.1",
        f"GET / HTTP/{NAME}",
        f"GET /{NAME} {NAME} HTTP/1.1",
        NAME,
        f"POST /tasks HTTP/1.1\r\nContent-Type: text/{NAME}\r\nContent-Length: 2",
        f"POST /tasks HTTP/1.1\r\nContent-Type: application/json\r\nPrefer: {NAME}=1\r\nContent-Length: 10",
        f"POST /tasks HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {NAME}",
        f"POST /tasks HTTP/1.1\r\nIdempotency-Key: {NAME} {NAME}\r\nContent-Length: 0",
        f"POST /tasks HTTP/1.1\r\nTransfer-Encoding: {NAME}",
        f"GET /health/live HTTP/1.1\r\n{NAME}",
        f"GET /health/live HTTP/1.1\r\nX: {NAME}\0",
        f"GET /health/live HTTP/1.1\r\nX-Y: {CYRILLIC}",
    ]
    return [exchange(url, f"{line}\r\n{head}\r\n{NAME}".encode()) for line in lines]


def told_of(record, sent_headers):
    """Return what the processor added to a result or dead letter: its new headers, and a result's value."""
    own = ("idempotency_key", "X-Request-ID")  # these come from a REST caller
    added = [header for header in record.headers if header not in sent_headers and header[0] not in own]
    return repr(added) + ("" if record.topic.endswith("-dlt") else repr(record.value))


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def proxy():
    """A listener that the environment names as the proxy and to which nothing may connect."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


def surroundings(provider, collector, proxy, folder):
    """Return an environment full of secrets and of settings that other programs follow, such as proxies."""
    netrc = folder / ".netrc"
    netrc.write_text(f"default login {NAME} password {NAME}\n")
    netrc.chmod(0o600)
    proxies = {
        name: f"http://127.0.0.1:{proxy.getsockname()[1]}" for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    }
    return {
        **SECRETS,
        **collector.environment,
        **proxies,
        **{name.lower(): value for name, value in proxies.items()},
        "HOME": str(folder),
        "NETRC": str(netrc),
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-tenant=ours,x-token={NAME},{NAME}",
        "DADATA_URL": provider.url,
        "DADATA_REQUESTS_PER_SECOND": "0",
        "DADATA_NEW_CONNECTIONS_PER_MINUTE": "0",
        "YANDEXGPT_URL": provider.url,
        "YANDEXGPT_FOLDER_ID": "folder",
        "PROVIDER_ATTEMPTS": "1",
        "REPLY_TIMEOUT_SECONDS": "30",
    }


def test_nothing_personal_and_nothing_secret_is_told_on_any_path(
    start, topics, database, postgres, kafka, provider, collector, proxy, tmp_path, session_folder
):
    postgres.create_processor("silent", f"{NAME}.password")
    environment = surroundings(provider, collector, proxy, tmp_path)
    as_silent = {"POSTGRES_USER": "silent", "POSTGRES_PASSWORD": f"{NAME}.password"}
    processor = start("processor", database.environment, environment, as_silent)
    gateway = start("gateway", environment)
    heard = []  # all answers to anyone

    def post(value, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=len(heard) % 2 == 0).encode()
        names = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", "X-Unknown": NAME, **headers}
        answer = gateway.client.post(f"/tasks?{NAME}={quote(CYRILLIC)}", content=body, headers=names)
        heard.append(f"{answer.status_code} {answer.headers.raw!r} {answer.text}")
        return answer.status_code

    # A provider without such a path has to take another task before it is known to reject this one: see the records.
    statuses = {post(task) for task in tasks() if not task["data"].endswith("#404")}
    assert statuses == {200, 422, 500, 503}
    assert {post(value) for value in no_tasks()} == {422}
    key = {"Idempotency-Key": f"{NAME}-key"}
    one, other = ({"task_id": 1, "task_type": "phone", "data": f"{value} {NAME}"} for value in ("one", "other"))
    assert [post(one, **key), post(one, **key), post(other, **key)] == [200, 200, 422]
    assert [post(one, Prefer=f"respond-async, {NAME}"), post(one, **{"X-Request-ID": NAME * 50})] == [202, 200]
    heard += odd_requests(gateway.url) + odd_requests(processor.url)

    sent_headers = [("own", NAME.encode()), (NAME, CYRILLIC.encode()), ("baggage", NAME.encode())]
    sent_headers += [("kafka_correlationId", NAME.encode()), ("redriven_from", NAME.encode()), ("none", None)]
    sent_headers += [("traceparent", NAME.encode()), ("error_code", NAME.encode()), ("X-Request-ID", NAME.encode())]
    sent_headers.append(("integration_awaited_until", NAME.encode()))
    records = [json.dumps(task).encode() for task in tasks()] + no_tasks()
    for value in records:
        topics.send(value, key=NAME.encode(), headers=sent_headers)
    for wrong in (f"{NAME} {NAME}", CYRILLIC, NAME * 30):
        topics.send(json.dumps(one).encode(), headers=[*sent_headers, ("idempotency_key", wrong.encode())])
        sent_headers.append(("idempotency_key", wrong.encode()))
    all_done(topics)

    # The canaries, which the output must not contain, were really in use.
    assert {NAME in value for value in provider.seen} == {True} and len(provider.seen) >= 3
    assert len(topics.read_dead_letters()) > len(records) // 3 and len(database.rows()) > len(records) // 3
    assert any(leaks(json.dumps(row[0])) for row in database.rows().values())

    # PostgreSQL refuses a row with an error text that repeats it, then closes connections; Kafka is killed.
    database.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'not now: %%', NEW.data USING DETAIL = NEW.data; END $$"
    )
    database.query("CREATE TRIGGER refuse BEFORE INSERT ON integration_service FOR EACH ROW EXECUTE FUNCTION refuse()")
    topics.send(json.dumps(one).encode())
    until(lambda: "cannot be used" in processor.log_text(), "PostgreSQL's refusal")
    database.query("DROP TRIGGER refuse ON integration_service")
    database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'silent'")
    kafka.kill()
    until(lambda: gateway.answers("/health/ready", 503), "the gateway to notice")
    assert post(one) == 503
    kafka.start()
    until(lambda: gateway.answers("/health/ready"), "the gateway to be ready again")
    # A refused account comes last, because it also refuses all waiting tasks.
    assert [post({**one, "data": f"{NAME} #{what}"}) for what in ACCOUNT] == [502, 502]
    all_done(topics)

    for program in (gateway, processor):
        heard += [repr(program.client.get(path).text) for path in ("/metrics", "/health/ready", "/health/live")]
        heard += [Path(f"/proc/{program.pid}/{file}").read_text() for file in ("cmdline", "comm")]
    redriven = [redrive(arguments, environment | as_silent, database, topics) for arguments in (["--dry-run"], [])]
    assert [code for code, _ in redriven] == [0, 0], redriven
    # The providers take these, so what they reject is not taken for the service's configuration.
    topics.send(*(json.dumps(task).encode() for task in tasks() if "#" not in task["data"]))
    all_done(topics)
    assert [program.stop() for program in (gateway, processor)] == [0, 0]

    sources = {
        "an answer": "\n".join(heard),
        "the processor's log": processor.log_text(),
        "the gateway's log": gateway.log_text(),
        "redrive": "\n".join(output for _, output in redriven),
        "a result's or dead letter's headers": "\n".join(told_of(record, sent_headers) for record in topics.read()),
        "a span": b"".join(collector.bodies).decode("latin-1") + repr(collector.spans()),
    }
    found = {source: leaks(text) for source, text in sources.items()}
    assert not any(found.values()), found
    for source in ("the processor's log", "the gateway's log"):
        assert '"level": "debug"' in sources[source] and '"level": "warning"' in sources[source]
    assert collector.spans()
    assert {tenant for _, tenant in collector.headers} == {"ours"}
    with pytest.raises(BlockingIOError):
        proxy.accept()


def redrive(arguments, environment, database, topics):
    """Put dead letters back, and return the exit code and all output."""
    ran = subprocess.run(
        [sys.executable, "-m", "processor", "redrive", "--reason", "internal_error", *arguments],
        env={
            "PATH": os.environ["PATH"],
            **topics.environment,
            **database.environment,
            **environment,
            "LOG_LEVEL": "DEBUG",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ran.returncode, ran.stdout + ran.stderr


FAILS = """
import asyncio, threading
import pydantic

validate = pydantic.TypeAdapter.validate_json


def fail(said):
    raise RuntimeError(said)


def fail_because(said):
    try:
        fail(said)
    except RuntimeError as error:
        raise KeyError(said) from error


async def failing(said):
    fail_because(said)


def validate_or_fail(self, value):
    said = value.decode()
    if "#bug" in said:
        fail_because(said)
    if "#beside" in said:
        asyncio.get_running_loop().call_soon(fail_because, said)
        asyncio.ensure_future(failing(said))
        threading.Thread(target=fail_because, args=(said,), name=said).start()
    if "#end" in said:
        raise asyncio.CancelledError(said)
    return validate(self, value)


pydantic.TypeAdapter.validate_json = validate_or_fail
"""
"""A sitecustomize.py that makes a program fail on tasks that request it; the exception's text holds the task."""


def test_an_unforeseen_failure_is_told_by_where_it_was_and_never_by_what_it_held(
    start, start_processor, topics, database, collector, tmp_path
):
    (tmp_path / "sitecustomize.py").write_text(FAILS)
    failing = {"PYTHONPATH": str(tmp_path), "PYTHONASYNCIODEBUG": "1", **collector.environment}
    processor, gateway = start_processor(**failing), start("gateway", failing)

    def value(what):
        return json.dumps({"task_id": 1, "task_type": "phone", "data": f"{VALUES['quotes']} #{what}"}).encode()

    json_type = {"Content-Type": "application/json"}
    answers = [gateway.client.post("/tasks", content=value(what), headers=json_type) for what in ("bug", "beside")]
    topics.send(value("bug"))
    until(lambda: len(topics.read()) == 2, "the result and the dead letter")
    letter = next(record for record in topics.read() if record.topic == topics.dead_letters)
    topics.send(value("end"))
    until(lambda: not processor.running, "the processor to end")
    gateway.stop()

    assert [answer.status_code for answer in answers] == [500, 200]
    assert letter.header("error_code") == b"internal_error"
    assert processor.returncode == 1
    for program in (processor, gateway):
        log = program.log_text()
        for told in ("unforeseen KeyError at", "unforeseen KeyError ends a thread", "Exception in callback"):
            assert told in log
        assert "Task exception was never retrieved" in log and "in fail_because" in log
        assert not leaks(log)
    assert "unforeseen RuntimeError ends the program" in processor.log_text()
    assert not leaks(repr(letter.headers))
    assert not leaks("".join(f"{answer.headers.raw!r} {answer.text}" for answer in answers))
    assert not leaks(b"".join(collector.bodies).decode("latin-1"))


@pytest.mark.parametrize(
    ("program", "settings_class"), [("processor", ProcessorSettings), ("gateway", GatewaySettings)]
)
def test_a_program_with_wrong_settings_names_them_and_tells_none(program, settings_class):
    wrong = {name.upper(): f"{NAME} {CYRILLIC}" for name in settings_class.model_fields}

    ran = subprocess.run(
        [sys.executable, "-m", program],
        env={"PATH": os.environ["PATH"], **wrong},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 2
    assert "KAFKA_TOPIC_PARTITIONS" in ran.stderr and ran.stderr.count("\n") == 1
    assert not leaks(ran.stdout + ran.stderr)


@pytest.mark.parametrize("form", sorted(FORMS), ids=ascii)
def test_the_search_finds_a_planted_canary_in_every_form(form):
    assert leaks(f"before {form} after")
    assert not leaks("before after")
