"""DaData's standardization, for example of phone numbers and email addresses: POST /api/v1/clean/phone, .../email."""

import httpx
from pydantic import SecretStr
from pydantic_core import to_json

from processor.enrich.errors import Answer, Line, Provider, UnusableAnswer
from processor.enrich.providers.call import call
from processor.enrich.providers.wire import Prepare


def dadata(
    path: str,
    answer_field: str,
    *,
    url: str,
    api_key: SecretStr,
    secret_key: SecretStr,
    prepare: Prepare,
) -> Provider:
    """Return a provider that cleans one value a request; DaData bills by the value.

    Answers with `qc` codes that mean garbage are answers like any other.

    Args:
        path: last part of the request's path, which names the kind of value.
        answer_field: field of the answer that holds the cleaned value.
        url: base URL.
        api_key: sent in `Authorization: Token ...`.
        secret_key: sent in `X-Secret`.
        prepare: returns the function that sends the requests.
    """
    headers = {
        "Authorization": f"Token {api_key.get_secret_value()}",
        "X-Secret": secret_key.get_secret_value(),
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
    send = prepare(httpx.Request("POST", f"{url.rstrip('/')}/api/v1/clean/{path}", headers=headers))

    async def clean(data: str, line: Line) -> Answer:
        match await call(send, to_json([data]), line):
            case [dict(answer)]:
                return _checked(answer_field, answer)
            case _:
                raise UnusableAnswer("the answer is not an array of one object")

    return clean


def _checked(answer_field: str, answer: Answer) -> Answer:
    # Checks only the fields that distinguish an answer from junk. All of them may be null, and a code is an int32 in
    # DaData's specification but a string in its C# client. All other fields are stored as they are.
    if not answer.keys() & {answer_field, "qc"}:
        raise UnusableAnswer(f"the answer has neither {answer_field} nor qc")
    for name in (answer_field, "source"):
        if not isinstance(answer.get(name), str | None):
            raise UnusableAnswer(f"the answer's {name} is not text")
    for name in ("qc", "qc_conflict"):
        code = answer.get(name)
        if isinstance(code, bool) or not (isinstance(code, int | None) or (isinstance(code, str) and code.isdecimal())):
            raise UnusableAnswer(f"the answer's {name} is not a number")
    return answer
