"""DaData's standardization of phones and e-mail addresses: POST /api/v1/clean/phone and /api/v1/clean/email."""

from typing import Literal

import httpx
from pydantic import SecretStr
from pydantic_core import to_json

from processor.providers import Answer, Provider, ProviderUnavailable
from processor.providers.call import call
from processor.providers.wire import Prepare


def dadata(
    kind: Literal["phone", "email"],
    *,
    url: str,
    api_key: SecretStr,
    secret_key: SecretStr,
    prepare: Prepare,
) -> Provider:
    """Return a provider that cleans one phone or e-mail address a request; DaData bills by the record.

    Answers with `qc` codes that mean garbage are answers like any other.

    Args:
        kind: what is cleaned.
        url: base address, to which the path is appended.
        api_key: goes into `Authorization: Token ...`.
        secret_key: goes into `X-Secret`.
        prepare: makes what sends the requests.
    """
    headers = {
        "Authorization": f"Token {api_key.get_secret_value()}",
        "X-Secret": secret_key.get_secret_value(),
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    send = prepare(httpx.Request("POST", f"{url.rstrip('/')}/api/v1/clean/{kind}", headers=headers))

    async def clean(data: str) -> Answer:
        body = to_json([data])
        match await call(send, body):
            case [dict(answer)] if answer:
                return answer
            case _:
                raise ProviderUnavailable("the answer is not an array of one object")

    return clean
