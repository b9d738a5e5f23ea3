"""Logs each problem with Kafka once, in an operator's words, with the setting or the permission to check."""

import logging
import operator
import re
import threading
from collections.abc import Sequence
from typing import Any

REASONS = {
    "_AUTHENTICATION": "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    "_SSL": "KAFKA_SSL_CA_LOCATION, and whether the broker's certificate has the host name of KAFKA_BOOTSTRAP_SERVERS",
    "_RESOLVE": "KAFKA_BOOTSTRAP_SERVERS",
    "CERTIFICATE_REFUSED": "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION: the broker does not accept the "
    "program's certificate, or misses one",
    "NO_TOKEN": "KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL, _CLIENT_ID, _CLIENT_SECRET and _SCOPE, and "
    "KAFKA_HTTPS_CA_LOCATION",
    "TOKEN_REFUSED": "KAFKA_SASL_OAUTHBEARER_CLIENT_ID, _SCOPE and _EXTENSIONS, and which issuer and audience the "
    "broker expects",
}
"""Name of an error that is a root cause, librdkafka's or one of `named` -> what to check. Other errors may be
consequences of these: if a broker refuses the login, all brokers are "down" and requests time out."""

LOOK_AT = {
    **REASONS,
    "_ALL_BROKERS_DOWN": "KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL",
    "MSG_SIZE_TOO_LARGE": "the topic's max.message.bytes",
    "INVALID_RECORD": "the topic's cleanup.policy: a compacted topic takes no record without a key",
    "TOPIC_AUTHORIZATION_FAILED": "the right WRITE on the topic",
}

ABOUT_THE_RECORD = {
    "MSG_SIZE_TOO_LARGE": "the record is too large (max.message.bytes)",
    "RECORD_LIST_TOO_LARGE": "the record is too large (segment.bytes)",
    "INVALID_RECORD": "a compacted topic takes no record without a key",
}
"""Names of the errors about one record that its topic refuses while it accepts others, in words. All other errors of a
producer are about the topic, the cluster or the connection."""

_call_headers = operator.methodcaller("headers")


class UnreadableHeaders(Exception):
    """The name of one of the message's headers is not UTF-8, and confluent_kafka can read none of them."""


def headers_of(message: Any) -> list[tuple[str, bytes | None]]:
    """Return the headers of a consumed message. Nothing else may read them before.

    If a name is not UTF-8, confluent_kafka returns a list with a NULL in it and sets an exception as well. CPython
    detects that where it checks the result of a call. It does not check calls of a method that it has specialised, as
    it does after some calls: then the exception is raised elsewhere, or the NULL is read. `methodcaller` calls by
    PyObject_Call (3.11, 3.12) or PyObject_VectorcallMethod (3.13), which check every time.

    Raises:
        UnreadableHeaders: they cannot be read. From then on the message has none.
    """
    try:
        return _call_headers(message) or []
    except (UnicodeDecodeError, SystemError):
        message.set_headers([])  # replaces the broken list
        raise UnreadableHeaders from None


class KafkaTrouble:
    """Logs the problems that keep the program from Kafka, each once until it is over. May be called on any thread."""

    def __init__(self, logger: logging.Logger, opening: str) -> None:
        """Log to `logger`; each line begins with `opening`."""
        self._logger = logger
        self._opening = opening
        self._lock = threading.Lock()
        self._errors: set[str] = set()
        self._missing = ""

    def tell(self, name: str, text: str) -> None:
        """Log an error of librdkafka: every root cause, and the first error that is none."""
        name = named(name, text)
        with self._lock:
            if name in self._errors or (self._errors and name not in REASONS):
                return
            self._errors.add(name)
        self._logger.warning("%s: %s", self._opening, explained(name, text))

    def tell_missing(self, what: Sequence[str]) -> None:
        """Log what is missing, unless it was logged last."""
        missing = ", ".join(what)
        if missing != self._missing:
            self._missing = missing
            self._logger.warning("%s: missing: %s", self._opening, missing)

    def end(self) -> bool:
        """End the problem, and return whether there was one."""
        was_logged = bool(self._errors or self._missing)
        self._errors.clear()
        self._missing = ""
        return was_logged


class Reason:
    """Why Kafka does not answer a command: the first root cause, or else the first error."""

    def __init__(self) -> None:
        """Know no error yet."""
        self._error: Any = None

    def note(self, error: Any) -> None:
        """Remember an error of librdkafka; its error_cb."""
        if self._error is None or named(error.name(), error.str()) in REASONS:
            self._error = error

    def explained(self, error: Any) -> str:
        """Return the reason with what to check; without one, that of this error of a request."""
        reason = self._error or error
        return explained(reason.name(), reason.str())


def named(name: str, text: str) -> str:
    """Return an error's name: librdkafka's, or a more precise one where several causes share that.

    librdkafka calls the refusal of the broker's certificate _SSL or _TRANSPORT, and of the program's own _TRANSPORT.
    """
    return next((precise for words, precise in _PRECISE.items() if re.search(words, text)), name)


_PRECISE = {
    "certificate verify failed": "_SSL",
    r"SSL alert number (?:4[2-689]|116)\b": "CERTIFICATE_REFUSED",  # RFC 8446, section 6
    "acquire SASL OAUTHBEARER token": "NO_TOKEN",
    r'SASL authentication error: \{"status"': "TOKEN_REFUSED",  # RFC 7628, section 3.2.2
}
"""Regular expression for an error's text -> its precise name."""


def explained(name: str, text: str) -> str:
    """Return the text of an error of librdkafka in one line, with what to check."""
    name, text = named(name, text), " ".join(text.split())  # it may repeat an HTTP answer of a token endpoint
    return f"{text}; look at {LOOK_AT[name]}" if name in LOOK_AT else text
