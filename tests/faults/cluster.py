"""A PostgreSQL cluster and a Redis of our own, in a temporary folder, to be cut off at any time."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.faults.ports import free_port


class Postgres:
    """A throw-away cluster with fsync on, as the letters' ledger needs it."""

    def __init__(self, parent: Path | None = None, *options: str):
        self.folder = Path(tempfile.mkdtemp(prefix="paperboy-postgres-", dir=parent))
        self.port = free_port()
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._user = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            shutil.chown(self.folder, "postgres", "postgres")
            user = pwd.getpwnam("postgres")
            self._user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
            self._user += ["--init-groups"]
        how = "--auth=trust --username=postgres --encoding=UTF8 -N"
        self._run("initdb", *how.split(), *options, self.data)
        settings = f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
        settings += f"unix_socket_directories = '{self.folder}'\nmax_connections = 200\n"
        settings += "datestyle = 'German'\n"  # What the driver can't read, unless it is asked for.
        (self.data / "postgresql.auto.conf").write_text(settings)
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        self._run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.folder / "log")

    def stop(self, mode: str = "immediate") -> None:
        """Stop: `immediate` is what a machine does that loses its power."""
        self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        self.stop(mode)
        self.start()

    def make(self, database: str, template: str = "template1") -> str:
        """Make a database, and return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def dump(self, database: str, file: Path) -> None:
        """Write a database into a file, also for other clusters."""
        with file.open("wb") as dump:
            command = [self.bin / "pg_dump", "--format=custom", self.url(database)]
            subprocess.run(command, check=True, stdout=dump, timeout=60)

    def restore(self, file: Path) -> str:
        """Make a database of such a file, named after it. Return its name."""
        url = self.make(file.stem, "template0")
        command = [self.bin / "pg_restore", "--no-owner", f"--dbname={url}", file]
        subprocess.run(command, check=True, timeout=60)
        return file.stem

    def drop(self, database: str) -> None:
        """Drop a database, if the cluster still serves: what a crash syncs is not to pile up."""
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.url("postgres"), autocommit=True) as connection,
        ):
            connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def close(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *arguments):
        command = [*self._user, self.bin / program, *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, timeout=60)


class Redis:
    """A Redis that keeps its queue on the disk, as docker-compose.yml starts it."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = f"--port {self.port} --bind 127.0.0.1 --appendonly yes --appendfsync everysec"
        options += f" --maxmemory-policy noeviction --dir {self.folder} --loglevel warning"
        self._process = subprocess.Popen(
            ["redis-server", *options.split()], stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 10
        while self.call("PING") != "PONG":
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.05)

    def call(self, *words) -> str:
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()

    def info(self, section: str) -> dict[str, str]:
        """Return what Redis says of itself."""
        lines = self.call("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def flush(self) -> None:
        self.call("FLUSHALL")

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()

    def signal(self, number: int) -> None:
        os.killpg(self._process.pid, number)
