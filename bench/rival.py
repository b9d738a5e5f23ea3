"""Shared by the three comparison programs: settings, DaData's contract, the insert."""

from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

PHONE_PATH = "/api/v1/clean/phone"

TIMEOUT_SECONDS = 5.0
"""Timeout of one request to DaData."""

ATTEMPTS = 5
"""Attempts at one task before it is logged and skipped."""

STATEMENT_SECONDS = 10.0
"""Timeout of one statement."""

WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)
"""HTTP statuses that are retried."""

NEW_ID = "nextval('ledger_id_seq')"
"""SQL expression. The schema's ids come from its ledger. These programs have no ledger, so they use its sequence."""

GRANT = "GRANT USAGE ON SEQUENCE ledger_id_seq TO {}"
"""The right that their user needs for this, in addition to the processor's role."""


class Settings(BaseSettings):
    """The processor's environment variables that apply here."""

    kafka_bootstrap_servers: str
    kafka_import_topic: str
    kafka_result_topic: str
    kafka_consumer_group: str = "integration-service"
    postgres_host: str = "db"
    postgres_port: int = 5432
    postgres_user: str = "postgres"
    postgres_password: SecretStr
    postgres_db: str = "postgres"
    dadata_url: str = "https://cleaner.dadata.ru"
    dadata_api_key: SecretStr
    dadata_secret_key: SecretStr
    dadata_concurrent_requests: int = 64

    def postgres_connection(self) -> dict[str, Any]:
        """Return the arguments for asyncpg. psycopg calls the last one `dbname`."""
        return {
            "host": self.postgres_host,
            "port": self.postgres_port,
            "user": self.postgres_user,
            "password": self.postgres_password.get_secret_value(),
            "database": self.postgres_db,
        }

    def dadata_headers(self) -> dict[str, str]:
        """Return the headers of every request to DaData."""
        return {
            "Authorization": f"Token {self.dadata_api_key.get_secret_value()}",
            "X-Secret": self.dadata_secret_key.get_secret_value(),
            "Content-Type": "application/json",
        }
