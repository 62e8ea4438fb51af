"""A real Postfix of our own, in a temporary folder, for the tests that need one.

It listens on loopback, takes everything from there, and hands it to `relay`, where one is given,
or throws it away. What is for `domain` it pipes into a command (see Pipe). Nothing of the machine's
own Postfix is read or touched.
"""

import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from tests.faults.ports import free_port

START_SECONDS = 20


#: As Debian's, without chroot, and with a log of its own.
CONFIG = Path(__file__).with_name("postfix_config")


class Pipe:
    """Runs `command(recipient, message)` for each message that Postfix pipes, and lets it return
    with what the command exits.
    """

    def __init__(self, command):
        self.command = command
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def _serve(self):
        while True:
            try:
                way, _ = self.listener.accept()
            except OSError:
                return
            with way, way.makefile("rb") as request:
                recipient = request.readline().strip().decode()
                way.sendall(bytes([self.command(recipient, request.read())]))


class Postfix:
    """Starts when its `with` block is entered, and is gone without a trace when it is left.

    `parameters` are of main.cf.
    """

    def __init__(
        self,
        relay: int | None = None,
        pipe: Pipe | None = None,
        domain="nobody.example",
        **parameters: str,
    ):
        self.home = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.port = free_port()
        self.log = self.home / "mail.log"
        transport = f"smtp:[127.0.0.1]:{relay}" if relay else "discard"
        self._configure(transport, pipe.port if pipe else 1, domain)
        self._write(parameters)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *error):
        try:
            self.stop()
        finally:
            self._remove()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("start")
        wait_until(self._greets, START_SECONDS)

    def stop(self) -> None:
        """Stop it as an operator does: what is under way is finished or broken off."""
        self._run("stop")

    def configure(self, **parameters: str) -> None:
        """Set parameters of main.cf, and let it read them."""
        self._write(parameters)
        self._run("reload")

    def flush(self) -> None:
        """Let it try again at once what it has to deliver."""
        self._run("flush")

    def queued(self) -> int:
        """Return how many letters it has still to deliver."""
        folders = (self.home / "queue" / name for name in ("incoming", "active", "deferred"))
        return sum(file.is_file() for folder in folders for file in folder.rglob("*"))

    def _configure(self, transport, pipe, domain):
        owner = pwd.getpwnam("postfix")
        group = grp.getgrnam("postdrop").gr_name
        self.home.chmod(0o755)
        for name in ("config", "queue", "data"):
            (self.home / name).mkdir()
        os.chown(self.home / "data", owner.pw_uid, owner.pw_gid)
        names = {"home": self.home, "owner": owner.pw_name, "group": group}
        names |= {"transport": transport, "domain": domain, "port": self.port, "pipe": pipe}
        for file in CONFIG.iterdir():
            (self.home / "config" / file.name).write_text(file.read_text().format(**names))

    def _write(self, parameters):
        with (self.home / "config" / "main.cf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in parameters.items())

    def _run(self, command):
        command = ["postfix", "-c", self.home / "config", command]
        how = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60}
        done = subprocess.run(command, check=False, **how)
        assert done.returncode == 0, done.stderr.decode()

    def _greets(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(100).startswith(b"220")
        except OSError:
            return False

    def _remove(self):
        shutil.rmtree(self.home, ignore_errors=True)


def wait_until(look, seconds: float = 10):
    """Wait until `look` returns something, and return it. Fails the test that waits in vain."""
    give_up_at = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up_at, f"not so after {seconds} s"
        time.sleep(0.05)
    return found
