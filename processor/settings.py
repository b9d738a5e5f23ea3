"""The processor's settings."""

import contextlib
import re
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.messages import TASK_TYPES, TaskType
from shared.settings import Settings, check_ca_file


class ProcessorSettings(Settings):
    """Read once, at the start."""

    kafka_consumer_group: Annotated[
        str, Field(min_length=1, description="Consumer group; the task types are appended if TASK_TYPES omits any.")
    ] = "integration-service"
    kafka_group_instance_id: Annotated[
        str | None, Field(description="Static membership, for replicas that restart in place; differs by replica.")
    ] = None

    postgres_host: Annotated[
        str, Field(description="The database's host; of several, comma-separated, the one that accepts writes is used.")
    ] = "db"
    postgres_port: Annotated[str, Field(description="The database's port; one for all hosts, or one for each.")] = (
        "5432"
    )
    postgres_user: Annotated[str, Field(description="The database's user.")] = "postgres"
    postgres_password: Annotated[SecretStr, Field(description="The database's password.")]
    postgres_db: Annotated[
        str,
        Field(
            validation_alias=AliasChoices("POSTGRES_DB", "POSTGRES_NAME"),
            description="The database's name; POSTGRES_NAME is read if POSTGRES_DB is not set.",
        ),
    ] = "postgres"
    postgres_sslmode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"], Field(description="As in libpq.")
    ] = "prefer"
    postgres_sslrootcert: Annotated[
        str | None, Field(description="File with the certificate of the database's CA, as libpq's sslrootcert.")
    ] = None

    dadata_api_key: Annotated[SecretStr | None, Field(description="DaData's API key, for phone and email.")] = None
    dadata_secret_key: Annotated[SecretStr | None, Field(description="DaData's secret key.")] = None
    dadata_url: Annotated[
        str, Field(pattern="^https?://", description="DaData's base URL, to which the paths are appended.")
    ] = "https://cleaner.dadata.ru"
    dadata_requests_per_second: Annotated[
        int, Field(ge=0, le=10_000, description="The whole fleet's quota, phone and email together; 0 = no quota.")
    ] = 20
    dadata_concurrent_requests: Annotated[
        int, Field(ge=1, le=10_000, description="Limit of concurrent requests to DaData, of one replica.")
    ] = 30
    dadata_new_connections_per_minute: Annotated[
        int, Field(ge=0, le=10_000, description="The whole fleet's quota of new connections to DaData; 0 = no quota.")
    ] = 50
    provider_timeout_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Time limit of one request to DaData.")
    ] = 5.0

    yandexgpt_api_key: Annotated[SecretStr | None, Field(description="YandexGPT's API key, for gpt.")] = None
    yandexgpt_folder_id: Annotated[str | None, Field(description="The folder that the API key belongs to.")] = None
    yandexgpt_model: Annotated[str, Field(description="Model and version.")] = "yandexgpt-lite/latest"
    yandexgpt_url: Annotated[
        str, Field(pattern="^https?://", description="YandexGPT's base URL, to which the path is appended.")
    ] = "https://llm.api.cloud.yandex.net"
    yandexgpt_concurrent_requests: Annotated[
        int, Field(ge=1, le=10_000, description="Limit of concurrent requests to YandexGPT, of the whole fleet.")
    ] = 10
    yandexgpt_timeout_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Time limit of one request to YandexGPT.")
    ] = 120.0

    task_types: Annotated[
        tuple[TaskType, ...],
        NoDecode,
        Field(min_length=1, description="Task types that this processor handles, comma-separated."),
    ] = TASK_TYPES
    provider_attempts: Annotated[
        int, Field(ge=1, le=100, description="Attempts at one task before it is dead-lettered.")
    ] = 5
    in_flight_max: Annotated[int, Field(ge=1, le=100_000, description="Limit of one replica's records in flight.")] = (
        50_000
    )
    # Quix waits at most 60 seconds for a rebalance to drain.
    drain_seconds: Annotated[
        float, Field(ge=0, le=50, description="How long a rebalance waits for calls that have begun and their results.")
    ] = 5
    shutdown_seconds: Annotated[
        float, Field(ge=0, le=3600, description="How long a stop waits for calls that have begun and their results.")
    ] = 20
    processor_http_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of health and metrics; 0 turns them off.")
    ] = 8001

    @field_validator("postgres_host")
    @classmethod
    def _are_hosts(cls, value: str) -> str:
        hosts = [host.strip() for host in value.split(",")]
        if not all(_is_host(host) for host in hosts):
            raise ValueError("must be names, addresses or socket directories, comma-separated, without ports")
        return ",".join(hosts)

    @field_validator("postgres_port")
    @classmethod
    def _are_ports(cls, value: str) -> str:
        ports = [port.strip() for port in value.split(",")]
        if not all(port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535 for port in ports):
            raise ValueError("must be numbers from 1 to 65535, comma-separated")
        return ",".join(ports)

    @model_validator(mode="after")
    def _has_a_port_for_each_host(self) -> "ProcessorSettings":
        hosts, ports = self.postgres_host.count(",") + 1, self.postgres_port.count(",") + 1
        if ports not in (1, hosts):
            raise ValueError(f"POSTGRES_PORT: {ports} ports for {hosts} hosts: must be one, or one for each host")
        return self

    @field_validator("postgres_sslrootcert")
    @classmethod
    def _has_a_ca(cls, file: str | None) -> str | None:
        if file is not None:
            check_ca_file(file)
        return file

    @field_validator("task_types", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(part.strip() for part in value.split(","))) if isinstance(value, str) else value

    @field_validator("dadata_api_key", "dadata_secret_key", "yandexgpt_api_key")
    @classmethod
    def _fits_into_a_header(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not all("!" <= character <= "~" for character in key.get_secret_value()):
            raise ValueError("must be visible ASCII characters, without spaces or line breaks")
        return key

    @field_validator("dadata_url", "yandexgpt_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises if it is not a number
            host = (parts.hostname or "").encode("idna")
        except ValueError:
            host = b""
        if not (host and all("!" <= character <= "~" for character in url)) or set("@?#") & set(url):
            raise ValueError("must be http:// or https://, a host, and optionally a port and a path")
        return url

    def consumer_group(self) -> str:
        """Return the group's name. Processors with different TASK_TYPES are groups that read independently."""
        handled = [task_type for task_type in TASK_TYPES if task_type in self.task_types]
        if len(handled) == len(TASK_TYPES):
            return self.kafka_consumer_group
        return "-".join([self.kafka_consumer_group, *handled])

    def postgres_connection(self) -> dict[str, Any]:
        """Return libpq's connection parameters, with the password in plain text."""
        return {
            "host": self.postgres_host,  # host and port may be lists, in libpq's form
            "port": self.postgres_port,
            "user": self.postgres_user,
            "password": self.postgres_password.get_secret_value(),
            "dbname": self.postgres_db,
            "sslmode": self.postgres_sslmode,
            "sslrootcert": self.postgres_sslrootcert,
        }


def _is_host(host: str) -> bool:
    if host.startswith(("/", "@")):  # a socket directory, or a name in Linux's abstract namespace
        return True
    with contextlib.suppress(ValueError):
        return bool(ip_address(host))  # an IPv6 address has colons, and may end with a zone such as %eth0
    return bool(re.fullmatch(r"[\w.-]+", host))
