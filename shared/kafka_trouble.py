"""Logs problems with Kafka once, in an operator's words, with the setting or the right to check."""

import logging
import operator
import threading
from collections.abc import Sequence
from typing import Any

REASONS = {
    "_AUTHENTICATION": "KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    "_SSL": "KAFKA_SSL_CA_LOCATION, and whether the broker's certificate has the host name of KAFKA_BOOTSTRAP_SERVERS",
    "_RESOLVE": "KAFKA_BOOTSTRAP_SERVERS",
}
"""Name of a librdkafka error that is a reason -> what to look at. Its other errors may only follow from these: where a
broker refuses the login, all brokers are "down", and questions time out."""

LOOK_AT = {
    **REASONS,
    "_ALL_BROKERS_DOWN": "KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL",
    "MSG_SIZE_TOO_LARGE": "the topic's max.message.bytes",
    "INVALID_RECORD": "the topic's cleanup.policy: a compacted topic takes no record without a key",
    "TOPIC_AUTHORIZATION_FAILED": "the right WRITE on the topic",
}

ABOUT_THE_RECORD = ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_RECORD")
"""Names of the errors over one record that its topic does not take, while it takes others. All other errors of a
producer are about the topic, the cluster or the way there."""

_call_headers = operator.methodcaller("headers")


class UnreadableHeaders(Exception):
    """A name of the message's headers is not UTF-8, and confluent_kafka can read none of them."""


def headers_of(message: Any) -> list[tuple[str, bytes | None]]:
    """Return the headers of a message that was consumed. Nothing else may read them before.

    Where a name is not UTF-8, confluent_kafka returns a list with a hole in it and sets an exception beside it. CPython
    notices that where it checks what a call has returned; calls of a method that it has specialised, as it does after
    some rounds, are not checked, and the exception is raised somewhere else, or the hole is read. `methodcaller` calls
    by PyObject_Call (3.11, 3.12) or PyObject_VectorcallMethod (3.13), which check every time.

    Raises:
        UnreadableHeaders: they cannot be read. From then on the message has none, whoever reads them.
    """
    try:
        return _call_headers(message) or []
    except (UnicodeDecodeError, SystemError):
        message.set_headers([])  # in the place of the list with the hole
        raise UnreadableHeaders from None


class KafkaTrouble:
    """Logs what keeps the program from Kafka: once, until it is over. Called on any thread."""

    def __init__(self, logger: logging.Logger, opening: str) -> None:
        """Log to `logger`; each line begins with `opening`."""
        self._logger = logger
        self._opening = opening
        self._lock = threading.Lock()
        self._errors: set[str] = set()
        self._missing = ""

    def tell(self, name: str, text: str) -> None:
        """Log an error of librdkafka's: every reason, and the first error that is not a reason."""
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
        was_told = bool(self._errors or self._missing)
        self._errors.clear()
        self._missing = ""
        return was_told


def named(name: str, text: str) -> str:
    """Return the name of an error of librdkafka's, which calls a certificate that it refuses _SSL or _TRANSPORT."""
    return "_SSL" if "certificate verify failed" in text else name


def explained(name: str, text: str) -> str:
    """Return an error of librdkafka's with what to look at."""
    name = named(name, text)
    return f"{text}; look at {LOOK_AT[name]}" if name in LOOK_AT else text
