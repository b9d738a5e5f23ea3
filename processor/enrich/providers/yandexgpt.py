"""YandexGPT's text generation: POST /foundationModels/v1/completion."""

import httpx
from pydantic import SecretStr
from pydantic_core import to_json

from processor.enrich.errors import Answer, InputRejected, Line, Provider, UnusableAnswer
from processor.enrich.providers.call import call
from processor.enrich.providers.wire import Prepare

TEMPERATURE = 0.3
"""YandexGPT's default, made explicit."""

ANSWER_TOKENS_MAX = 2000
"""The largest limit that every generation of the model accepts."""


def yandexgpt(*, url: str, api_key: SecretStr, folder_id: str, model: str, prepare: Prepare) -> Provider:
    """Return a provider that answers a prompt with the object in the answer's `result`.

    Only ALTERNATIVE_STATUS_FINAL marks a complete answer; a truncated one is an answer too, with a status of its own.

    Args:
        url: base URL.
        api_key: key of a service account, sent in `Authorization: Api-Key ...`.
        folder_id: the home folder of that service account.
        model: name and version, such as `yandexgpt-lite/latest`.
        prepare: returns the function that sends the requests.
    """
    headers = {
        "Authorization": f"Api-Key {api_key.get_secret_value()}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "x-data-logging-enabled": "false",  # Yandex stores requests by default, and these contain personal data
    }
    send = prepare(httpx.Request("POST", f"{url.rstrip('/')}/foundationModels/v1/completion", headers=headers))
    model_uri = f"gpt://{folder_id}/{model}"

    async def complete(data: str, line: Line) -> Answer:
        body = to_json(
            {
                "modelUri": model_uri,
                # maxTokens is an int64, which this API writes as a string in JSON.
                "completionOptions": {
                    "stream": False,
                    "temperature": TEMPERATURE,
                    "maxTokens": str(ANSWER_TOKENS_MAX),
                },
                "messages": [{"role": "user", "text": data}],
            }
        )
        match await call(send, body, line):
            # The API wraps the object; its reference shows the object itself.
            case {"result": dict(result)} | dict(result):
                return _checked(result)
            case _:
                raise UnusableAnswer("the answer is not an object")

    return complete


def _checked(result: Answer) -> Answer:
    match result.get("alternatives"):
        case [{"status": "ALTERNATIVE_STATUS_FINAL" | "ALTERNATIVE_STATUS_TRUNCATED_FINAL", "message": message}, *_]:
            match message:
                case {"text": str()}:
                    return result
            raise UnusableAnswer("the answer's message has no text")
        case [{"status": "ALTERNATIVE_STATUS_CONTENT_FILTER"}, *_]:
            raise InputRejected("the content filter stopped the answer")
        case _:
            raise UnusableAnswer("the answer has no final alternative")
