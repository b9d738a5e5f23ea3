"""A program reads all its settings once at start, or names the wrong one in one line."""

import subprocess

import pytest
from pydantic import SecretStr

from gateway.settings import GatewaySettings
from processor.settings import ProcessorSettings
from shared.settings import WrongSettings, read_settings

REQUIRED = {"KAFKA_IMPORT_TOPIC": "import", "KAFKA_RESULT_TOPIC": "results", "POSTGRES_PASSWORD": "canary-secret"}


@pytest.fixture
def settings(monkeypatch):
    for name in ProcessorSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name}_FILE".upper(), raising=False)
    monkeypatch.delenv("POSTGRES_NAME", raising=False)

    def read(**environment):
        for name, value in {**REQUIRED, **environment}.items():
            monkeypatch.setenv(name, value)
        return read_settings(ProcessorSettings)

    return read


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_setting_is_named(settings, name):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: ""})

    assert str(wrong.value) == f"{name}: is required"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_IMPORT_TOPIC", "no spaces"),
        ("KAFKA_RESULT_TOPIC", "х" * 3),
        ("KAFKA_RESULT_TOPIC", "import"),
        ("KAFKA_DEAD_LETTER_TOPIC", "results"),
        ("KAFKA_TOPIC_PARTITIONS", "0"),
        ("KAFKA_TOPIC_REPLICATION_FACTOR", "0"),
        ("KAFKA_TOPIC_MIN_INSYNC_REPLICAS", "0"),
        ("KAFKA_TOPIC_MIN_INSYNC_REPLICAS", "4"),
        ("DADATA_API_KEY", "canary-secret\nX-Injected: 1"),
        ("DADATA_SECRET_KEY", "canary-secret 1"),
        ("YANDEXGPT_API_KEY", "канарейка canary-secret"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SSL_CA_LOCATION", "/canary-secret.pem"),
        ("KAFKA_SSL_CA_LOCATION", __file__),
        ("KAFKA_HTTPS_CA_LOCATION", "probe"),
        ("KAFKA_SSL_KEY_LOCATION", "/canary-secret.pem"),
        ("KAFKA_SSL_CERTIFICATE_LOCATION", __file__),
        ("KAFKA_SASL_MECHANISM", "GSSAPI"),
        ("KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", "canary-secret"),
        ("KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL", "https://user:canary-secret@idp.test"),
        ("POSTGRES_SSLROOTCERT", "/canary-secret.pem"),
        ("POSTGRES_SSLROOTCERT", __file__),
        ("POSTGRES_PORT", "canary-secret"),
        ("POSTGRES_PORT", "5432,canary-secret"),
        ("POSTGRES_PORT", "5432,6432"),
        ("POSTGRES_PORT", "5432,"),
        ("POSTGRES_PORT", "0"),
        ("POSTGRES_PORT", "65536"),
        ("POSTGRES_PORT", "9" * 5000),
        ("POSTGRES_HOST", ","),
        ("POSTGRES_HOST", "db,,canary-secret"),
        ("POSTGRES_HOST", "db,"),
        ("POSTGRES_HOST", "canary-secret:5432"),
        ("POSTGRES_HOST", "postgresql://canary-secret"),
        ("POSTGRES_HOST", "[::1]"),
        ("POSTGRES_HOST", "db canary-secret"),
        ("TASK_TYPES", "phone,fax"),
        ("TASK_TYPES", ","),
        ("DADATA_URL", "canary-secret"),
        ("DADATA_URL", "http://canary-secret:canary-secret"),
        ("DADATA_URL", "https://user:canary-secret@cleaner.test"),
        ("YANDEXGPT_URL", "https://llm.test?key=canary-secret"),
        ("YANDEXGPT_URL", "https://"),
        ("YANDEXGPT_URL", "http://" + "canary-secret" * 9 + ".test"),
        ("YANDEXGPT_URL", "http://llm.test/ canary-secret"),
        ("PROVIDER_ATTEMPTS", "0"),
        ("DRAIN_SECONDS", "51"),
        ("LOG_LEVEL", "canary-secret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "canary-secret:4318"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_that_does_not_repeat_it(settings, name, value):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: value})

    assert name in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert "canary-secret" not in str(wrong.value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("KAFKA_TOPIC_PARTITIONS", "many", "must be an integer"),
        ("KAFKA_TOPIC_PARTITIONS", "1.5", "must be an integer"),
        ("KAFKA_TOPIC_PARTITIONS", "9" * 5000, "must be an integer"),
        ("KAFKA_TOPIC_PARTITIONS", "0", "must be at least 1"),
        ("IN_FLIGHT_MAX", "100001", "must be at most 100000"),
        ("PROVIDER_TIMEOUT_SECONDS", "soon", "must be a number"),
        ("PROVIDER_TIMEOUT_SECONDS", "0", "must be greater than 0"),
        ("DRAIN_SECONDS", "51", "must be at most 50"),
        ("DRAIN_SECONDS", "nan", "must be at most 50"),
        ("LOG_FORMAT", "xml", "must be 'json' or 'console'"),
        ("TASK_TYPES", "phone,fax,telex", "must be 'phone', 'email' or 'gpt'"),
        ("DADATA_URL", "cleaner.dadata.ru", "must begin with http:// or https://, and have no user"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must begin with http:// or https://, and have no user"),
    ],
)
def test_what_a_setting_must_be_is_said_in_our_own_words(settings, name, value, wanted):
    with pytest.raises(WrongSettings) as wrong:
        settings(**{name: value})

    assert str(wrong.value) == f"{name}: {wanted}"


@pytest.mark.parametrize("settings_class", [GatewaySettings, ProcessorSettings])
def test_every_pattern_is_an_urls_as_the_words_about_it_say(settings_class):
    properties = settings_class.model_json_schema()["properties"].values()
    patterns = {option["pattern"] for of in properties for option in (of, *of.get("anyOf", [])) if "pattern" in option}

    assert patterns and all(pattern.startswith("^https?://") for pattern in patterns)


def test_a_ca_of_kafkas_may_be_a_folder_or_what_the_system_trusts(settings, tmp_path):
    for location in (str(tmp_path), "probe"):
        assert settings(KAFKA_SSL_CA_LOCATION=location).kafka_connection()["ssl.ca.location"] == location


def test_more_replicas_in_sync_than_replicas_are_refused(settings):
    with pytest.raises(WrongSettings, match=r"^KAFKA_TOPIC_MIN_INSYNC_REPLICAS must not exceed .*, which is 1$"):
        settings(KAFKA_TOPIC_REPLICATION_FACTOR="1", KAFKA_TOPIC_MIN_INSYNC_REPLICAS="2")


OIDC = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
    "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://idp.test/token",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_ID": "processor",
    "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "canary-secret",
}


def test_an_account_with_tokens_is_librdkafkas_oidc_and_has_no_password(settings, tmp_path):
    optional = {
        "KAFKA_SASL_OAUTHBEARER_SCOPE": "kafka",
        "KAFKA_SASL_OAUTHBEARER_EXTENSIONS": "logicalCluster=lkc-1",
        "KAFKA_HTTPS_CA_LOCATION": str(tmp_path),
    }

    assert settings(**OIDC, **optional).kafka_connection() == {
        "bootstrap.servers": "kafka:9094",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": "https://idp.test/token",
        "sasl.oauthbearer.client.id": "processor",
        "sasl.oauthbearer.client.secret": "canary-secret",
        "sasl.oauthbearer.scope": "kafka",
        "sasl.oauthbearer.extensions": "logicalCluster=lkc-1",
        "https.ca.location": str(tmp_path),
    }


def test_a_token_endpoint_is_trusted_by_the_systems_cas(settings, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", __file__)

    assert settings(**OIDC).kafka_connection()["https.ca.location"] == __file__


@pytest.mark.parametrize("missing", [name for name in OIDC if name.startswith("KAFKA_SASL")])
def test_half_an_account_is_refused(settings, missing):
    with pytest.raises(WrongSettings, match=f"{missing}.* required with KAFKA_SECURITY_PROTOCOL=SASL_SSL"):
        settings(**OIDC | {missing: ""})


@pytest.fixture
def certificate(tmp_path):
    """Make a certificate, its key, and the same key with a password; return their paths."""
    paths = [str(tmp_path / name) for name in ("certificate.pem", "key.pem", "locked.pem")]
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=processor", "-nodes"]
    subprocess.run([*new, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    lock = ["openssl", "rsa", "-aes256", "-passout", "pass:canary-secret"]
    subprocess.run([*lock, "-in", paths[1], "-out", paths[2]], check=True, capture_output=True)
    return paths


def test_mutual_tls_is_a_certificate_and_its_key(settings, certificate):
    read = settings(
        KAFKA_SECURITY_PROTOCOL="SSL",
        KAFKA_SSL_CERTIFICATE_LOCATION=certificate[0],
        KAFKA_SSL_KEY_LOCATION=certificate[1],
        KAFKA_CLIENT_RACK="zone-a",
    )

    assert read.kafka_connection() == {
        "bootstrap.servers": "kafka:9094",
        "security.protocol": "ssl",
        "ssl.certificate.location": certificate[0],
        "ssl.key.location": certificate[1],
        "client.rack": "zone-a",
    }


@pytest.mark.parametrize("key", [None, "locked.pem", "certificate.pem", "missing.pem"])
def test_a_certificate_without_its_key_is_named_in_one_line(settings, certificate, tmp_path, key):
    location = "" if key is None else str(tmp_path / key)

    with pytest.raises(WrongSettings) as wrong:
        settings(KAFKA_SSL_CERTIFICATE_LOCATION=certificate[0], KAFKA_SSL_KEY_LOCATION=location)

    assert "KAFKA_SSL_KEY_LOCATION" in str(wrong.value)
    assert str(tmp_path) not in str(wrong.value) and "\n" not in str(wrong.value)


def test_the_dead_letter_topic_is_named_after_the_import_topic(settings):
    assert settings().kafka_dead_letter_topic == "import-dlt"
    assert settings(KAFKA_DEAD_LETTER_TOPIC="morgue").kafka_dead_letter_topic == "morgue"


def test_an_empty_value_counts_as_not_set(settings):
    read = settings(DADATA_API_KEY="", KAFKA_GROUP_INSTANCE_ID="", PROVIDER_ATTEMPTS="")

    assert (read.dadata_api_key, read.kafka_group_instance_id, read.provider_attempts) == (None, None, 5)


@pytest.mark.parametrize(
    ("environment", "database"),
    [
        ({}, "postgres"),
        ({"POSTGRES_NAME": "tasks"}, "tasks"),
        ({"POSTGRES_DB": "", "POSTGRES_NAME": "tasks"}, "tasks"),
        ({"POSTGRES_DB": "main", "POSTGRES_NAME": "tasks"}, "main"),
    ],
)
def test_postgres_name_is_read_where_postgres_db_is_not_set(settings, environment, database):
    assert settings(**environment).postgres_db == database


@pytest.mark.parametrize(
    ("hosts", "ports", "connection"),
    [
        ("db", "5432", ("db", "5432")),
        ("a, b", " 5432 ,6432", ("a,b", "5432,6432")),
        ("a,b,c", "6432", ("a,b,c", "6432")),
        ("::1,fe80::1%eth0,10.0.0.1", "5432", ("::1,fe80::1%eth0,10.0.0.1", "5432")),
        ("/var/run/postgresql,a_b.example", "5432", ("/var/run/postgresql,a_b.example", "5432")),
    ],
)
def test_hosts_and_ports_may_be_lists(settings, hosts, ports, connection):
    read = settings(POSTGRES_HOST=hosts, POSTGRES_PORT=ports).postgres_connection()

    assert (read["host"], read["port"]) == connection


@pytest.mark.parametrize(
    ("task_types", "group"),
    [
        ("phone,email,gpt", "integration-service"),
        ("gpt, phone ,email", "integration-service"),
        ("gpt", "integration-service-gpt"),
        ("email,phone", "integration-service-phone-email"),
    ],
)
def test_processors_that_share_the_task_types_out_are_groups_of_their_own(settings, task_types, group):
    assert settings(TASK_TYPES=task_types).consumer_group() == group


def test_no_secret_shows_when_settings_are_printed(settings):
    read = settings(
        DADATA_API_KEY="canary-secret",
        DADATA_SECRET_KEY="canary-secret",
        YANDEXGPT_API_KEY="canary-secret",
        KAFKA_SASL_PASSWORD="canary-secret",
        KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET="canary-secret",
    )

    assert "canary-secret" not in repr(read)


SECRETS = {
    name: settings_class
    for settings_class in (GatewaySettings, ProcessorSettings)
    for name, field in settings_class.model_fields.items()
    if "SecretStr" in str(field.annotation)
}


def test_the_secrets_are_these():
    assert sorted(name.upper() for name in SECRETS) == [
        "DADATA_API_KEY",
        "DADATA_SECRET_KEY",
        "KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET",
        "KAFKA_SASL_PASSWORD",
        "POSTGRES_PASSWORD",
        "SECRET_KEY",
        "YANDEXGPT_API_KEY",
    ]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("line_break", ["", "\n", "\r\n"])
def test_every_secret_may_lie_in_a_file_whose_last_line_break_does_not_count(monkeypatch, tmp_path, name, line_break):
    file = tmp_path / "secret"
    file.write_bytes(f"canary-secret{line_break}".encode())
    for other, value in REQUIRED.items():
        monkeypatch.setenv(other, value)
    monkeypatch.setenv(name.upper(), "")
    monkeypatch.setenv(f"{name}_FILE".upper(), str(file))

    assert getattr(read_settings(SECRETS[name]), name) == SecretStr("canary-secret")


@pytest.mark.parametrize(
    ("environment", "content", "said"),
    [
        ({"POSTGRES_PASSWORD": "other"}, b"canary-secret", "POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE: only one .*"),
        ({}, b"", "POSTGRES_PASSWORD_FILE: the file is empty"),
        ({}, b"\n", "POSTGRES_PASSWORD_FILE: the file is empty"),
        ({}, b"canary-secret \xff", "POSTGRES_PASSWORD_FILE: the file is not UTF-8"),
        ({}, None, "POSTGRES_PASSWORD_FILE: No such file or directory"),
    ],
)
def test_a_secret_that_cannot_be_had_from_its_file_is_named_in_one_line(settings, tmp_path, environment, content, said):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(WrongSettings, match=f"^{said}$") as wrong:
        settings(**{"POSTGRES_PASSWORD": "", "POSTGRES_PASSWORD_FILE": str(file), **environment})

    assert "canary-secret" not in str(wrong.value)


def test_a_wrong_secret_in_a_file_is_named_as_it_was_set(settings, tmp_path):
    file = tmp_path / "secret"
    file.write_text("canary-secret\nX-Injected: 1\n")

    with pytest.raises(WrongSettings, match="DADATA_API_KEY_FILE: must be visible ASCII") as wrong:
        settings(DADATA_API_KEY_FILE=str(file))

    assert "canary-secret" not in str(wrong.value)


def test_an_empty_file_of_a_secret_that_may_be_missing_counts_as_not_set(settings, tmp_path):
    (tmp_path / "secret").touch()

    assert settings(DADATA_API_KEY_FILE=str(tmp_path / "secret")).dadata_api_key is None


def test_what_is_no_secret_is_read_out_of_no_file(settings, tmp_path):
    (tmp_path / "host").write_text("elsewhere")

    assert settings(POSTGRES_HOST_FILE=str(tmp_path / "host")).postgres_host == "db"
