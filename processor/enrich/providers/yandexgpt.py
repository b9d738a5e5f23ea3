"""YandexGPT's text generation: POST /foundationModels/v1/completion."""

import httpx
from pydantic import SecretStr
from pydantic_core import to_json

from processor.enrich.errors import Answer, Provider, TaskRejected, UnusableAnswer
from processor.enrich.providers.call import call
from processor.enrich.providers.wire import Prepare

TEMPERATURE = 0.3
"""YandexGPT's own default, said aloud."""

ANSWER_TOKENS_MAX = 2000
"""The longest answer that every generation of the model takes."""


def yandexgpt(*, url: str, api_key: SecretStr, folder_id: str, model: str, prepare: Prepare) -> Provider:
    """Return a provider that answers a prompt with the object inside the answer's `result`.

    Only ALTERNATIVE_STATUS_FINAL is a whole answer; a truncated one is an answer too, marked by its own status.

    Args:
        url: base address, to which the path is appended.
        api_key: of a service account; goes into `Authorization: Api-Key ...`.
        folder_id: the home folder of that service account.
        model: name and version, as in `yandexgpt-lite/latest`.
        prepare: makes what sends the requests.
    """
    headers = {
        "Authorization": f"Api-Key {api_key.get_secret_value()}",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "x-data-logging-enabled": "false",  # Yandex keeps requests by default, and these hold personal data
    }
    send = prepare(httpx.Request("POST", f"{url.rstrip('/')}/foundationModels/v1/completion", headers=headers))
    model_uri = f"gpt://{folder_id}/{model}"

    async def complete(data: str) -> Answer:
        body = to_json(
            {
                "modelUri": model_uri,
                # maxTokens is an int64, which JSON carries as a string there.
                "completionOptions": {
                    "stream": False,
                    "temperature": TEMPERATURE,
                    "maxTokens": str(ANSWER_TOKENS_MAX),
                },
                "messages": [{"role": "user", "text": data}],
            }
        )
        answer = await call(send, body)
        match answer:
            # The reference shows the object itself, what is really sent wraps it.
            case {"result": dict(result)}:
                return _checked(result)
            case dict(result):
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
            raise TaskRejected("the content filter stopped the answer")
        case _:
            raise UnusableAnswer("the answer has no final alternative")
