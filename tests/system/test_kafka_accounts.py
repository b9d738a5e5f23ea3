"""Kafka accounts as people have them: a certificate (mutual TLS), and a token of an OIDC server (OAUTHBEARER)."""

import base64
import contextlib
import json
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.kafka import Kafka, Security
from tests.conftest import until
from tests.system.test_tls import make_ca, make_server_certificate, signed

SECRET = "canary-secret-of-the-client"
WRONG = "canary-secret-that-is-wrong"
ISSUER = "https://identity.test"
TOKEN_SECONDS = 10
TASK = {"task_id": 1, "task_type": "phone", "data": "8 916 823 34 54"}


@pytest.fixture(scope="module")
def folder(session_folder):
    folder = session_folder / "accounts"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture(scope="module")
def ca(folder):
    return make_ca(folder, "ca")


@pytest.fixture(scope="module")
def server(ca):
    return make_server_certificate(ca)


@dataclass(frozen=True)
class ClientCertificates(Security):
    """A broker that knows its clients by their certificates."""

    protocol: ClassVar[str] = "SSL"
    admin: Path

    @property
    def connection(self):
        return {
            "security.protocol": "ssl",
            "ssl.ca.location": str(self.ca),
            "ssl.certificate.location": str(self.admin),
            "ssl.key.location": str(self.admin.with_suffix(".key")),
        }

    @property
    def properties(self):
        inherited = {name: value for name, value in super().properties.items() if "sasl" not in name}
        users = "User:CN=admin;User:CN=server;User:CN=programs;User:ANONYMOUS"
        return {**inherited, "ssl.client.auth": "required", "super.users": users}


@dataclass(frozen=True)
class Tokens(Security):
    """A broker that also takes tokens of the issuer, and asks for a new one before the old one is over."""

    keys: Path

    @property
    def java_options(self):
        return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.keys.as_uri()}"]

    @property
    def properties(self):
        package = "org.apache.kafka.common.security.oauthbearer"
        its_own = {
            "sasl.jaas.config": f"{package}.OAuthBearerLoginModule required;",
            "sasl.server.callback.handler.class": f"{package}.OAuthBearerValidatorCallbackHandler",
            "sasl.oauthbearer.jwks.endpoint.url": self.keys.as_uri(),
            "sasl.oauthbearer.expected.issuer": ISSUER,
            "sasl.oauthbearer.expected.audience": "kafka",
            "connections.max.reauth.ms": str(TOKEN_SECONDS * 1000),
        }
        inherited = super().properties
        return {
            **inherited,
            **{f"listener.name.sasl_ssl.oauthbearer.{name}": value for name, value in its_own.items()},
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            "super.users": f"{inherited['super.users']};User:programs",
        }


class OidcServer:
    """A token endpoint over HTTPS, which grants tokens to clients that know the secret."""

    def __init__(self, certificate, keys):
        self.asked = []
        """The parameters of each request."""
        self.issued = []
        self.secret = SECRET
        self.audience = "kafka"
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        keys.write_text(json.dumps({"keys": [{**public, "kid": "1", "use": "sig", "alg": "RS256"}]}))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self._server.server_port}/token"

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self):
        grant = self.grant

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self):
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, answer = grant(self.headers["Authorization"], form)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Log nothing."""

        return Handler

    def grant(self, authorization, form):
        """Answer as RFC 6749, section 4.4."""
        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        self.asked.append((client, form))
        if secret != self.secret:
            return 401, {"error": "invalid_client"}
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": self.audience, "sub": "programs", "iat": now, "exp": now + TOKEN_SECONDS}
        self.issued.append(jwt.encode(claims, self._key, "RS256", {"kid": "1"}))
        return 200, {"access_token": self.issued[-1], "token_type": "Bearer", "expires_in": TOKEN_SECONDS}


@pytest.fixture(scope="module", params=["certificates", "tokens"])
def account(request, folder, ca, server):
    """Return how the programs get into the module's broker, its security and its OIDC server, if it has one."""
    if request.param == "certificates":
        certificate = signed(ca, "programs")
        settings = {
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_LOCATION": str(ca),
            "KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate),
            "KAFKA_SSL_KEY_LOCATION": str(certificate.with_suffix(".key")),
            "KAFKA_CLIENT_RACK": "zone-a",
        }
        yield settings, ClientCertificates(ca, server, "unused", signed(ca, "admin")), None
        return
    keys = folder / "keys.json"
    with OidcServer(server, keys).running() as oidc:
        settings = {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_LOCATION": str(ca),
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": oidc.url,
            "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": "integration-service",
            "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": SECRET,
            "KAFKA_SASL_OAUTHBEARER_SCOPE": "kafka",
            "KAFKA_SASL_OAUTHBEARER_EXTENSIONS": "logicalCluster=one",
            "KAFKA_HTTPS_CA_LOCATION": str(ca),
            "KAFKA_CLIENT_RACK": "zone-a",
        }
        yield settings, Tokens(ca, server, "canary-secret-of-the-administrator", keys), oidc


@pytest.fixture(scope="module")
def kafka(folder, account):
    _, security, _ = account
    own = folder / security.protocol
    broker = Kafka(own, own / "logs", security=security)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()  # its data is of no use to anybody


@pytest.fixture(autouse=True)
def _nothing_secret_is_logged(tmp_path, account):
    yield
    oidc = account[2]
    for log in tmp_path.glob("*.log"):
        text = log.read_text()
        assert "canary-secret" not in text
        assert oidc is None or not any(token in text or token.rpartition(".")[2] in text for token in oidc.issued)


@pytest.fixture
def programs(start, start_processor, account):
    """Return a function that starts `gateway` or `processor` with the account."""

    def programs(package, **options):
        settings = {**account[0], **options}
        return start_processor(**settings) if package == "processor" else start("gateway", **settings)

    return programs


def warnings(program):
    """Return the program's warnings and errors about Kafka."""
    lines = [json.loads(line) for line in program.log_text().splitlines() if line.startswith("{")]
    usual = ("GATEWAY_AUTH=none", "GETPID", "dead letter", "audit: ")
    return [
        line["event"]
        for line in lines
        if line["level"] not in ("debug", "info") and not line["event"].startswith(usual)
    ]


def test_both_programs_and_redrive_work_with_the_account_and_go_on_when_a_token_is_over(
    programs, account, topics, database
):
    oidc = account[2]
    gateway, processor = programs("gateway"), programs("processor")
    answer = gateway.client.post("/tasks", json=TASK)
    assert answer.status_code == 200 and answer.json()["id"] in database.rows()
    topics.send(b"no task")
    until(topics.read_dead_letters, "the dead letter")

    arguments = ("redrive", "--reason", "invalid_task")
    redrive = programs("processor", wait=False, arguments=arguments, LOG_LEVEL="INFO")
    until(lambda: not redrive.running, "redrive to end")
    assert redrive.log_text().splitlines()[-1] == "1 put back (1 invalid_task), 0 skipped"

    if oidc is not None:
        issued = len(oidc.issued)
        until(lambda: len(oidc.issued) >= issued + 6, "each client to have had new tokens")
        client, form = oidc.asked[-1]
        assert (client, form) == ("integration-service", {"grant_type": ["client_credentials"], "scope": ["kafka"]})
        assert gateway.client.post("/tasks", json=TASK).status_code == 200
    for program in (gateway, processor):
        assert program.stop() == 0
        assert warnings(program) == []


def refused_accounts(ca, oidc):
    """Return what is wrong with an account -> its settings."""
    if oidc is None:
        stranger = signed(make_ca(ca.parent, "another-ca"), "programs")
        return {
            "no certificate": {"KAFKA_SSL_CERTIFICATE_LOCATION": None, "KAFKA_SSL_KEY_LOCATION": None},
            "a certificate of another CA": {
                "KAFKA_SSL_CERTIFICATE_LOCATION": str(stranger),
                "KAFKA_SSL_KEY_LOCATION": str(stranger.with_suffix(".key")),
            },
        }
    return {
        "a wrong secret": {"KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": WRONG},
        "another CA": {"KAFKA_HTTPS_CA_LOCATION": str(make_ca(ca.parent, "another-ca"))},
    }


def test_an_account_that_is_refused_is_one_line_that_names_its_settings(programs, account, ca):
    oidc = account[2]
    named = "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION"
    if oidc is not None:
        named = "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL, _CLIENT_ID, _CLIENT_SECRET"
    refused = {
        (package, what): programs(package, wait=False, **settings)
        for what, settings in refused_accounts(ca, oidc).items()
        for package in ("gateway", "processor")
    }
    redrive = programs(
        "processor",
        wait=False,
        arguments=("redrive",),
        LOG_LEVEL="INFO",
        **next(iter(refused_accounts(ca, oidc).values())),
    )

    for case, program in refused.items():
        until(lambda program=program: warnings(program), f"{case} to be told")
        assert "Kafka" in program.client.get("/health/ready").json()["missing"]
    until(lambda: not redrive.running, "redrive to end")
    time.sleep(5)  # time for further attempts
    for case, program in refused.items():
        [line] = warnings(program)
        assert named in line, case
    [line] = redrive.log_text().splitlines()
    assert redrive.returncode == 1 and named in line


@pytest.mark.parametrize("account", ["tokens"], indirect=True)
def test_a_token_that_kafka_refuses_is_one_line_and_the_programs_go_on_with_one_that_it_takes(programs, account):
    oidc = account[2]
    oidc.audience = "something else"
    refused = [programs(package, wait=False) for package in ("gateway", "processor")]

    for program in refused:
        until(lambda program=program: warnings(program), "the refusal to be told")
        [line] = warnings(program)
        assert "which issuer and audience the broker expects" in line
    oidc.audience = "kafka"
    for program in refused:
        program.wait()
