"""A port of loopback that nobody has at this moment."""

import random
import socket
from contextlib import suppress

#: Below those that systems give to outgoing connections, which would take it meanwhile.
PORTS = range(15_000, 32_000)


def free_port() -> int:
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.choice(PORTS))) as server:
            return server.getsockname()[1]
