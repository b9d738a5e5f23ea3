"""A proxy in front of one broker, which loses requests and answers by their kind."""

import contextlib
import socket
import struct
import threading

PRODUCE, METADATA, OFFSET_COMMIT, LEAVE_GROUP = 0, 3, 8, 13  # the requests' API keys in Kafka's protocol


class BrokerProxy:
    """A proxy in front of one broker.

    While `hides` is set, no metadata answer of Kafka names a broker. Requests in `swallows` do not reach the broker,
    answers to those in `mutes` do not reach the client.
    """

    def __init__(self, port, upstream_port):
        self.hides, self.swallows, self.mutes = False, frozenset(), frozenset()
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", port))
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._upstream_port))
                self._sockets += [client, broker]
                asked = {}
                for work in (self._ask, self._answer):
                    threading.Thread(target=work, args=(client, broker, asked), daemon=True).start()

    def _ask(self, client, broker, asked):
        for request in messages(client):
            number, version, correlation_id = struct.unpack(">hhi", request[:8])
            assert number != METADATA or version >= 9
            asked[correlation_id] = number
            if number not in self.swallows:
                send(broker, request)

    def _answer(self, client, broker, asked):
        for answer in messages(broker):
            number = asked.pop(struct.unpack(">i", answer[:4])[0])
            if number == METADATA and self.hides:
                answer = without_brokers(answer)
            if number not in self.mutes:
                send(client, answer)


def messages(connection):
    with contextlib.suppress(OSError), connection.makefile("rb") as stream:
        while size := stream.read(4):
            yield stream.read(struct.unpack(">i", size)[0])
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def send(connection, message):
    with contextlib.suppress(OSError):  # the peer has closed; the other direction ends, too
        connection.sendall(struct.pack(">i", len(message)) + message)


def without_brokers(answer):
    """Remove the brokers from an answer, which is: correlation id, no tags, throttle time, brokers, ..."""
    start = at = 4 + 1 + 4
    brokers, at = answer[at] - 1, at + 1
    for _ in range(brokers):
        at += 4  # the broker's id
        at += answer[at] + 4  # host and port
        at += max(1, answer[at]) + 1  # rack, no tags
    return answer[:start] + b"\x01" + answer[at:]
