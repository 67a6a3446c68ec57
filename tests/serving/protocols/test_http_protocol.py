"""What connections count, seen from within; what clients see of it is in `test_limits.py`."""

import asyncio

import uvicorn
from uvicorn.server import ServerState

from keras_fvvae.serving.protocols.http_protocol import deadline_protocol


def test_a_connection_that_makes_room_is_not_counted_any_more():
    """Not from the loop's next round only: requests that come in this one would find one too many, and be refused."""
    counts = []

    class Protocol(deadline_protocol(10.0, max_connections=2)):
        def connection_made(self, transport):
            super().connection_made(transport)
            counts.append(len(self.connections))

    async def application(scope, receive, send):
        """Nobody asks it."""

    async def main():
        config, state = uvicorn.Config(application, ws="none", lifespan="off", log_config=None), ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Protocol(config, state, {}, loop), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        clients = [await asyncio.open_connection(*address) for _ in range(4)]
        assert [await reader.read() for reader, _ in clients[:2]] == [b"", b""]  # the server has closed them
        for _, writer in clients:
            writer.close()
        server.close()

    asyncio.run(main())
    assert counts == [1, 2, 2, 2]
