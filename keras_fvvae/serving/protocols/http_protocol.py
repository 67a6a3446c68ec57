"""Uvicorn's HTTP protocol with deadlines for what a client has to do, which Uvicorn itself does not have."""

import socket

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Bytes of an answer that the system takes before a client reads. By itself it takes megabytes, and more only when a
# third of them has been read, so that a slow reader would look like none.
_UNSENT_BYTES = 1 << 17


def deadline_protocol(seconds: float, max_connections: int) -> type[H11Protocol]:
    """A protocol class that closes connections of clients that do not go on.

    Without it, clients that send a byte now and then, or nothing, or do not read, hold their connections for ever, and
    with them the answers that wait to be sent.

    Args:
        seconds: from the connection, or from the first byte of a further request, to the end of the header; half of the
            time for a body, which the application has a deadline for where it reads it; and between two parts of an
            answer that a client reads.
        max_connections: open connections at most. Beyond, the one is closed that has waited longest for its client: for
            a header, else for a body. Who opens connections and sends nothing denies others nothing that way; where
            none waits, the application refuses the new one.
    """
    waiting: dict[H11Protocol, None] = {}  # from the one that has waited longest

    class DeadlineProtocol(H11Protocol):
        _state = _deadline = _unread = None

        def connection_made(self, transport):
            super().connection_made(transport)
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # not on Windows
                connection = transport.get_extra_info("socket")
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            self._watch()
            if len(self.connections) > max_connections:
                self._make_room()

        def data_received(self, data):
            super().data_received(data)
            self._watch()

        def pause_writing(self):
            super().pause_writing()
            # Not `close`, which would wait for what nobody reads.
            self._unread = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self):
            super().resume_writing()
            self._read()

        def on_response_complete(self):
            super().on_response_complete()
            if self.conn.their_state is h11.IDLE:  # the connection is kept for another request
                waiting[self] = None

        def connection_lost(self, exc):
            self._disarm()
            self._read()
            super().connection_lost(exc)

        def _watch(self):
            """One deadline for each state in which the client has to send; bytes of it do not move the deadline."""
            state = self.conn.their_state
            if state is not self._state:
                self._disarm()
            self._state = state
            if state in (h11.IDLE, h11.SEND_BODY):
                waiting.setdefault(self)
                if self._deadline is None:
                    limit = seconds if state is h11.IDLE else 2 * seconds
                    self._deadline = self.loop.call_later(limit, self.transport.close)

        def _disarm(self):
            waiting.pop(self, None)
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _make_room(self):
            others = [other for other in waiting if other is not self]
            headers = [other for other in others if other.conn.their_state is h11.IDLE]
            for other in (headers or others)[:1]:
                del waiting[other]
                other.transport.abort()
                # It is lost in the loop's next round only: until then the requests of others would find one too many.
                self.connections.discard(other)

        def _read(self):
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

    return DeadlineProtocol
