"""Uvicorn's HTTP protocol with a deadline for the header, which Uvicorn itself does not have."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def header_deadline_protocol(seconds: float) -> type[H11Protocol]:
    """A protocol class that closes connections whose next header is not complete in time.

    Without it, clients that send a byte now and then, or nothing, hold their connections for ever.

    Args:
        seconds: from the connection, or from the first byte of a further request, to the end of the header.
    """

    class HeaderDeadlineProtocol(H11Protocol):
        _deadline = None

        def connection_made(self, transport):
            super().connection_made(transport)
            self._arm()

        def data_received(self, data):
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._arm()
            else:
                self._disarm()

        def connection_lost(self, exc):
            self._disarm()
            super().connection_lost(exc)

        def _arm(self):
            if self._deadline is None:
                self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _disarm(self):
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return HeaderDeadlineProtocol
