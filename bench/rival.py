"""What the comparison programs share and nobody need read thrice: settings, DaData's contract, the insert."""

from pydantic import SecretStr
from pydantic_settings import BaseSettings

PHONE_PATH = "/api/v1/clean/phone"

TIMEOUT_SECONDS = 5.0
"""Of one request to DaData."""

ATTEMPTS = 5
"""Tries of one task, before it is logged and passed over."""

WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)
"""HTTP statuses."""

NEW_ID = "nextval('ledger_id_seq')"
"""SQL. The table's ids come from the ledger, which these programs go without; their user needs GRANT below."""

GRANT = "GRANT USAGE ON SEQUENCE ledger_id_seq TO {}"


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

    def dadata_headers(self) -> dict[str, str]:
        """Return what every request to DaData carries."""
        return {
            "Authorization": f"Token {self.dadata_api_key.get_secret_value()}",
            "X-Secret": self.dadata_secret_key.get_secret_value(),
            "Content-Type": "application/json",
        }
