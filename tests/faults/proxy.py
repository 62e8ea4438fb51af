"""A TCP proxy on loopback that passes, stalls, cuts, and swallows what the server says."""

import selectors
import socket
import struct
import threading
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: what is closed is reset.


class Proxy:
    """Passes connections on to a port. Faults concern those that are open, and those to come."""

    def __init__(self, target: int):
        self.target = target
        self.is_refusing = False  # New connections are closed at once.
        self.is_stalling = False  # Nothing passes, and nobody is notified: a black hole.
        self.swallow = None  # A function of the server's bytes: cut there instead of passing them.
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset all connections that are open."""
        for pair in list(self._pairs):
            self._end(pair, RESET)

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if self.is_refusing:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
                except OSError:
                    client.close()
                    continue
                pair = (client, server)
                self._pairs.add(pair)
                threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, client, server):
        with suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select(0.05):
                    if self.is_stalling:
                        continue
                    data = key.fileobj.recv(65536)
                    if not data:
                        return self._end((client, server))
                    if key.fileobj is server and self.swallow and self.swallow(data):
                        return self._end((client, server), RESET)
                    key.data.sendall(data)
        self._end((client, server))

    def _end(self, pair, linger=None):
        self._pairs.discard(pair)
        for end in pair:
            with suppress(OSError):
                if linger:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                end.close()
