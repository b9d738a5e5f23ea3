"""The gateway's settings."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from shared.settings import Settings, SettingsOfEnvironment

SECRET_KEY_BYTES_MIN = 32
"""At least as long as the hash of the signature (RFC 7518, section 3.2)."""

SECRET_KEY_EXAMPLE = "change-me-change-me-change-me-change-me"  # noqa: S105 - it is refused
"""The key in .env.example, with which anyone could make tokens."""


def _strong(secret_key: SecretStr) -> SecretStr:
    """Return the key if it cannot be guessed, else raise ValueError."""
    key = secret_key.get_secret_value()
    if key == SECRET_KEY_EXAMPLE:
        raise ValueError("is the example's, which is public; make your own: openssl rand -hex 32")
    if len(key.encode()) < SECRET_KEY_BYTES_MIN:
        raise ValueError(f"has fewer than {SECRET_KEY_BYTES_MIN} bytes; make a longer one: openssl rand -hex 32")
    return secret_key


class TokenSettings(SettingsOfEnvironment):
    """The settings of the command `token`."""

    secret_key: Annotated[SecretStr, AfterValidator(_strong), Field(description="Signs the bearer tokens.")]


class GatewaySettings(Settings):
    """Read once, at the start."""

    gateway_host: Annotated[str, Field(description="Address to listen on.")] = "0.0.0.0"  # noqa: S104 - in a container
    gateway_port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on.")] = 8000
    gateway_auth: Annotated[
        Literal["none", "required"], Field(description="none or required: whether task requests need a bearer token.")
    ] = "none"
    secret_key: Annotated[
        SecretStr | None, Field(validate_default=True, description="Signs and checks the bearer tokens.")
    ] = None
    kafka_public_bootstrap_servers: Annotated[
        str,
        Field(
            description="Kafka's addresses for producers and consumers, as the AsyncAPI document gives them. The "
            "service itself does not connect to them."
        ),
    ] = ""
    reply_timeout_seconds: Annotated[
        float, Field(gt=0, le=3600, description="How long a POST waits for its reply.")
    ] = 60.0
    waiting_replies_max: Annotated[
        int, Field(ge=1, le=1_000_000, description="Limit of waiting requests; beyond it 503.")
    ] = 10_000
    forwarded_allow_ips: Annotated[
        str,
        Field(
            description="Comma-separated addresses or networks of the proxies in front of the gateway, whose "
            "X-Forwarded-For names the caller; * = any."
        ),
    ] = ""
    caller_requests_per_minute: Annotated[
        int, Field(ge=0, le=1_000_000, description="Limit of one caller's task requests at one gateway; 0 = no limit.")
    ] = 0

    @field_validator("secret_key")
    @classmethod
    def _is_strong_where_it_counts(cls, secret_key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("gateway_auth") == "required":
            if secret_key is None:
                raise ValueError("is required with GATEWAY_AUTH=required")
            _strong(secret_key)
        return secret_key
