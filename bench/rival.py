"""What the comparison programs share and nobody need read thrice: settings, DaData's contract, the insert."""

from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

PHONE_PATH = "/api/v1/clean/phone"

TIMEOUT_SECONDS = 5.0
"""Of one request to DaData."""

ATTEMPTS = 5
"""Tries of one task, before it is logged and passed over."""

STATEMENT_SECONDS = 10.0
"""Of one statement."""

WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)
"""HTTP statuses."""

NEW_ID = "nextval('ledger_id_seq')"
"""SQL. The ids of the schema are drawn by its ledger, and these programs have none: they take from its sequence."""

GRANT = "GRANT USAGE ON SEQUENCE ledger_id_seq TO {}"
"""What their user needs for that, beside the processor's role."""


class Settings(BaseSettings):
    """The processor's names in the environment, as far as they mean something here."""

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
        """Return what asyncpg calls them; psycopg says dbname instead of database."""
        return {
            "host": self.postgres_host,
            "port": self.postgres_port,
            "user": self.postgres_user,
            "password": self.postgres_password.get_secret_value(),
            "database": self.postgres_db,
        }

    def dadata_headers(self) -> dict[str, str]:
        """Return what every request to DaData carries."""
        return {
            "Authorization": f"Token {self.dadata_api_key.get_secret_value()}",
            "X-Secret": self.dadata_secret_key.get_secret_value(),
            "Content-Type": "application/json",
        }
