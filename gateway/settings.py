"""The gateway's settings."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from shared.settings import Settings


class GatewaySettings(Settings):
    """Read once, in `__main__`."""

    gateway_host: Annotated[str, Field(description="Address to listen at.")] = "0.0.0.0"  # noqa: S104 - in a container
    gateway_port: Annotated[int, Field(ge=1, le=65535, description="Port to listen at.")] = 8000
    gateway_auth: Annotated[
        Literal["none", "required"], Field(description="Whether a task request needs a bearer token.")
    ] = "none"
    secret_key: Annotated[SecretStr | None, Field(description="Signs and checks the bearer tokens.")] = None
    reply_timeout_seconds: Annotated[
        float, Field(gt=0, le=3600, description="How long a POST waits for its reply.")
    ] = 60.0
    waiting_replies_max: Annotated[
        int, Field(ge=1, le=1_000_000, description="Requests waiting at once; beyond it 503.")
    ] = 10_000

    @field_validator("gateway_auth")
    @classmethod
    def _not_yet(cls, gateway_auth: str) -> str:
        # Refused and not ignored: a gateway that is told to check tokens must not run without checking them.
        if gateway_auth == "required":
            raise ValueError("bearer tokens are not checked by this version yet; only none can be chosen")
        return gateway_auth
