"""DaData's standardization, of phones and e-mail addresses for two: POST /api/v1/clean/phone, /api/v1/clean/email."""

import httpx
from pydantic import SecretStr
from pydantic_core import to_json

from processor.enrich.errors import Answer, Provider, UnusableAnswer
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
    """Return a provider that cleans one record a request; DaData bills by the record.

    Answers with `qc` codes that mean garbage are answers like any other.

    Args:
        path: what is cleaned, as the end of the request's path.
        answer_field: field of the answer that holds the cleaned text.
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
    send = prepare(httpx.Request("POST", f"{url.rstrip('/')}/api/v1/clean/{path}", headers=headers))

    async def clean(data: str) -> Answer:
        body = to_json([data])
        match await call(send, body):
            case [dict(answer)]:
                return _checked(answer_field, answer)
            case _:
                raise UnusableAnswer("the answer is not an array of one object")

    return clean


def _checked(answer_field: str, answer: Answer) -> Answer:
    # What the contract says of the fields that tell one from junk: all of them may be null, and a code is an int32 in
    # DaData's specification, a string in its client for C#. All other fields are kept as they come.
    if not answer.keys() & {answer_field, "qc"}:
        raise UnusableAnswer(f"the answer has neither {answer_field} nor qc")
    for name in (answer_field, "source"):
        if not isinstance(answer.get(name), str | None):
            raise UnusableAnswer(f"the answer's {name} is no text")
    for name in ("qc", "qc_conflict"):
        code = answer.get(name)
        if isinstance(code, bool) or not (isinstance(code, int | None) or (isinstance(code, str) and code.isdecimal())):
            raise UnusableAnswer(f"the answer's {name} is no number")
    return answer
