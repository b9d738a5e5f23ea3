"""Settings of both programs, read once from the environment. If any is invalid, the program ends."""

import os
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.validation import in_words

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LogFormat = Literal["json", "console"]

REPLICATION_FACTOR = 3
"""Replicas of a topic that the service creates, if nothing is set and the cluster has as many brokers."""

MIN_INSYNC_REPLICAS = 2
"""How many of them must have a record before it counts as written: one broker may be lost, and writing goes on."""


class SettingsOfEnvironment(BaseSettings):
    """Settings from the environment. An empty value counts as not set, as in compose files."""

    model_config = SettingsConfigDict(
        frozen=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True, populate_by_name=False
    )


class Settings(SettingsOfEnvironment):
    """The settings that both programs have."""

    kafka_bootstrap_servers: Annotated[
        str, Field(description="Addresses of Kafka's brokers, as host:port,host:port.")
    ] = "kafka:9094"
    kafka_import_topic: Annotated[str, Field(description="Topic of the tasks.")]
    kafka_result_topic: Annotated[str, Field(description="Topic of the results.")]
    kafka_dead_letter_topic: Annotated[
        str, Field(description="Topic of the dead letters; if not set, the import topic's name + `-dlt`.")
    ] = ""
    kafka_topic_partitions: Annotated[
        int, Field(ge=1, le=10_000, description="Partitions of topics that the service creates itself.")
    ] = 12
    kafka_topic_replication_factor: Annotated[
        int | None,
        Field(ge=1, le=32_767, description="Their replicas; if not set, 3, or one for each broker if there are fewer."),
    ] = None
    kafka_topic_min_insync_replicas: Annotated[
        int | None,
        Field(ge=1, le=32_767, description="Their min.insync.replicas; if not set, 2 of 3 replicas, else 1."),
    ] = None
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Field(description="librdkafka's security.protocol.")
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None,
        Field(description="librdkafka's sasl.mechanism."),
    ] = None
    kafka_sasl_username: Annotated[str | None, Field(description="librdkafka's sasl.username.")] = None
    kafka_sasl_password: Annotated[SecretStr | None, Field(description="librdkafka's sasl.password.")] = None
    kafka_sasl_oauthbearer_token_endpoint_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[^@\s]+$", description="Where OAUTHBEARER gets its tokens (OIDC client credentials)."
        ),
    ] = None
    kafka_sasl_oauthbearer_client_id: Annotated[
        str | None, Field(description="librdkafka's sasl.oauthbearer.client.id.")
    ] = None
    kafka_sasl_oauthbearer_client_secret: Annotated[
        SecretStr | None, Field(description="librdkafka's sasl.oauthbearer.client.secret.")
    ] = None
    kafka_sasl_oauthbearer_scope: Annotated[
        str | None, Field(description="Scope of the requested token, if the token endpoint needs one.")
    ] = None
    kafka_sasl_oauthbearer_extensions: Annotated[
        str | None, Field(description="What Kafka needs besides the token, as name=value,name=value.")
    ] = None
    kafka_https_ca_location: Annotated[
        str | None,
        Field(description="File with the CA certificate of the token endpoint; if not set, the system's CAs."),
    ] = None
    kafka_ssl_ca_location: Annotated[str | None, Field(description="File with the CA certificate of Kafka.")] = None
    kafka_ssl_certificate_location: Annotated[
        str | None, Field(description="File with the client's certificate and its chain, for mutual TLS.")
    ] = None
    kafka_ssl_key_location: Annotated[
        str | None, Field(description="File with the certificate's private key, without a password.")
    ] = None
    kafka_client_rack: Annotated[
        str | None,
        Field(description="Where the program runs, as the brokers' broker.rack: it reads from near replicas."),
    ] = None
    log_level: Annotated[LogLevel, Field(description="Lowest level that is logged.")] = "INFO"
    log_format: Annotated[
        LogFormat | None, Field(description="json or console; if not set, console on a terminal, else json.")
    ] = None
    otel_exporter_otlp_endpoint: Annotated[
        str | None,
        Field(
            pattern="^https?://",
            description="Base URL of an OTLP/HTTP collector; turns traces on. The SDK reads other OTEL_* variables.",
        ),
    ] = None

    @field_validator("kafka_import_topic", "kafka_result_topic", "kafka_dead_letter_topic")
    @classmethod
    def _is_a_topic_name(cls, name: str) -> str:
        legal = name.replace(".", "a").replace("_", "a").replace("-", "a")
        if name and not (legal.isascii() and legal.isalnum() and len(name) <= 249 and name not in (".", "..")):
            raise ValueError("is not a valid topic name: at most 249 of a-z, A-Z, 0-9, '.', '_', '-'")
        return name

    @field_validator("kafka_ssl_ca_location", "kafka_https_ca_location")
    @classmethod
    def _has_a_certificate(cls, location: str | None, info: ValidationInfo) -> str | None:
        # librdkafka also accepts a directory. For Kafka `probe` lets it look for the system's CA certificates.
        probed = location == "probe" and info.field_name == "kafka_ssl_ca_location"
        if location is not None and not probed and not Path(location).is_dir():
            check_ca_file(location)
        return location

    @model_validator(mode="after")
    def _has_as_many_replicas_in_sync(self) -> "Settings":
        replicas = self.kafka_topic_replication_factor or REPLICATION_FACTOR
        if (self.kafka_topic_min_insync_replicas or 1) > replicas:
            raise ValueError(
                f"KAFKA_TOPIC_MIN_INSYNC_REPLICAS must not exceed KAFKA_TOPIC_REPLICATION_FACTOR, which is {replicas}"
            )
        return self

    @model_validator(mode="after")
    def _has_a_key_that_fits_the_certificate(self) -> "Settings":
        certificate, key = self.kafka_ssl_certificate_location, self.kafka_ssl_key_location
        if bool(certificate) != bool(key):
            raise ValueError("KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION: both are required, or neither")
        if certificate and key:
            check_certificate(certificate, key)
        return self

    @model_validator(mode="after")
    def _has_an_account(self) -> "Settings":
        if self.kafka_security_protocol.startswith("SASL"):
            names = _OAUTHBEARER if self.kafka_sasl_mechanism == "OAUTHBEARER" else _PASSWORD
            if not all(getattr(self, name) for name in ("kafka_sasl_mechanism", *names)):
                *first, last = (name.upper() for name in ("kafka_sasl_mechanism", *names))
                raise ValueError(
                    f"{', '.join(first)} and {last} are required with "
                    f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}"
                )
        return self

    @model_validator(mode="after")
    def _topics_differ(self) -> "Settings":
        if not self.kafka_dead_letter_topic:
            object.__setattr__(self, "kafka_dead_letter_topic", f"{self.kafka_import_topic}-dlt")
        names = [self.kafka_import_topic, self.kafka_result_topic, self.kafka_dead_letter_topic]
        if len(set(names)) < len(names):
            raise ValueError("KAFKA_IMPORT_TOPIC, KAFKA_RESULT_TOPIC and KAFKA_DEAD_LETTER_TOPIC must differ")
        return self

    def kafka_connection(self) -> dict[str, str]:
        """Return librdkafka's connection properties, with secrets in plain text."""
        connection = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol.lower(),
        }
        names = [*_CLIENT]
        if self.kafka_security_protocol.startswith("SASL"):
            names.append("kafka_sasl_mechanism")
            if self.kafka_sasl_mechanism == "OAUTHBEARER":
                connection["sasl.oauthbearer.method"] = "oidc"
                # librdkafka does not find the system's CAs for HTTPS on Debian. SSL_CERT_FILE counts, as for providers.
                system = ssl.get_default_verify_paths()
                connection["https.ca.location"] = system.cafile or system.capath or "probe"
                names += [*_OAUTHBEARER, *_OAUTHBEARER_OPTIONAL]
            else:
                names += _PASSWORD
        for name in names:
            value = getattr(self, name)
            if value:
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                connection[name.removeprefix("kafka_").replace("_", ".")] = plain
        return connection


# Settings with librdkafka's names: kafka_sasl_username is sasl.username.
_CLIENT = ("kafka_ssl_ca_location", "kafka_ssl_certificate_location", "kafka_ssl_key_location", "kafka_client_rack")
_PASSWORD = ("kafka_sasl_username", "kafka_sasl_password")
_OAUTHBEARER = (
    "kafka_sasl_oauthbearer_token_endpoint_url",
    "kafka_sasl_oauthbearer_client_id",
    "kafka_sasl_oauthbearer_client_secret",
)
_OAUTHBEARER_OPTIONAL = (
    "kafka_sasl_oauthbearer_scope",
    "kafka_sasl_oauthbearer_extensions",
    "kafka_https_ca_location",
)


def check_ca_file(file: str) -> None:
    """Check that a file contains certificates: Kafka's and PostgreSQL's clients would report it much later, or never.

    Raises:
        ValueError: it contains none, or cannot be read.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError("the file contains no certificate in PEM format") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def check_certificate(certificate: str, key: str) -> None:
    """Check that the files hold a certificate and its key. librdkafka would say so only when a client is opened.

    Raises:
        ValueError: they do not, cannot be read, or the key has a password.
    """
    for setting, file in (("KAFKA_SSL_CERTIFICATE_LOCATION", certificate), ("KAFKA_SSL_KEY_LOCATION", key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise ValueError(f"{setting}: cannot be read: {error.strerror}") from None
    try:
        # Without a password in advance, OpenSSL would ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except ssl.SSLError:
        raise ValueError(
            "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION: must be a certificate and its key in PEM "
            "format, the key without a password"
        ) from None


class WrongSettings(Exception):
    """A setting is missing or wrong. The message is one line, which names the setting and never repeats its value."""


SettingsType = TypeVar("SettingsType", bound=SettingsOfEnvironment)


def read_settings(settings_class: type[SettingsType]) -> SettingsType:
    """Read a program's settings from the environment; a secret `NAME` may be in the file that `NAME_FILE` names.

    Raises:
        WrongSettings: a setting is missing or wrong.
    """
    secrets = _secrets_in_files(settings_class)
    given: dict[str, Any] = {name: secret for name, secret in secrets.items() if secret}
    try:
        return settings_class(**given)
    except ValidationError as error:
        raise WrongSettings("; ".join(_line(name, wanted, secrets) for name, wanted in in_words(error))) from None


def _secrets_in_files(settings_class: type[SettingsType]) -> dict[str, str]:
    """Return field -> content of its file, for each secret whose file is named."""
    secrets = {}
    for name, field in settings_class.model_fields.items():
        variable = name.upper()
        path = os.environ.get(f"{variable}_FILE")
        if not path or SecretStr not in (field.annotation, *get_args(field.annotation)):
            continue
        if os.environ.get(variable):
            raise WrongSettings(f"{variable} and {variable}_FILE: only one of them may be set")
        try:
            secrets[name] = Path(path).read_text("utf-8").removesuffix("\n")
        except OSError as error:
            raise WrongSettings(f"{variable}_FILE: {error.strerror}") from None
        except UnicodeDecodeError:  # its text repeats the content
            raise WrongSettings(f"{variable}_FILE: the file is not UTF-8") from None
    return secrets


def _line(name: str, wanted: str, secrets: dict[str, str]) -> str:
    if not name:  # a problem of several settings, which it names
        return wanted
    if name not in secrets:
        return f"{name.upper()}: {wanted}"
    return f"{name.upper()}_FILE: {wanted if secrets[name] else 'the file is empty'}"
