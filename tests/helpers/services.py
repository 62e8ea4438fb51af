"""The servers and programs of this machine that some tests need.

Such a test is marked `services` and calls `require("postgresql", …)`. Where one is missing, the
test is skipped; where PAPERBOY_REQUIRE_SERVICES is set, as in CI, it fails, so that no green run
hides it.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

POSTGRESQL = "postgres://postgres@127.0.0.1:5432"

#: Such a test is about what no database has a part in, and takes long.
once = pytest.mark.skipif(
    "DATABASE_URL" in os.environ,
    reason="is the same on every database: runs with the tests on the embedded defaults",
)


def program(name: str) -> bool:
    return shutil.which(name) is not None


def path_of(name: str) -> str:
    return shutil.which(name)


def postgresql() -> bool:
    """Return whether PostgreSQL lets the user postgres in, who may make databases."""
    try:
        psycopg.connect(f"{POSTGRESQL}/postgres", connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def redis() -> bool:
    try:
        socket.create_connection(("127.0.0.1", 6379), timeout=3).close()
    except OSError:
        return False
    return True


def mount() -> bool:
    """Return whether we may mount file systems."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "none", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


def vnu() -> str:
    """Return where the Nu HTML checker is, which npm has as vnu-jar."""
    return os.environ.get("VNU_JAR", "")


def semantic_model() -> Path:
    """Return the folder of the sentence embedding model that .ci/test-model made."""
    return Path(os.environ.get("SEMANTIC_TEST_MODEL", "none"))


def semantic() -> bool:
    return bool(find_spec("onnxruntime")) and (semantic_model() / "model.onnx").is_file()


#: Name -> whether it is there, and why not.
SERVICES = {
    "playwright": (lambda: find_spec("playwright"), "Playwright: uv sync --group browser"),
    "vnu": (lambda: program("java") and Path(vnu()).is_file(), "no vnu: see CONTRIBUTING.md"),
    "axe": (lambda: find_spec("axe_playwright_python"), "no axe-core: uv sync --group browser"),
    "mcp": (lambda: find_spec("mcp"), "no client of MCP: uv sync --group assistants"),
    "semantic": (semantic, "no embeddings: uv sync --group semantic, and see .ci/test-model"),
    "postgresql": (postgresql, f"no PostgreSQL that trusts {POSTGRESQL}"),
    "redis": (redis, "no Redis at 127.0.0.1:6379"),
    "initdb": (
        lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        "PostgreSQL's server programs are not installed under /usr/lib/postgresql",
    ),
    "postfix": (
        lambda: program("postfix") and os.geteuid() == 0,
        "Postfix is not installed, or we are not root, who alone may start it",
    ),
    "mount": (mount, "no file system can be mounted here: be root"),
    **{
        name: (partial(program, name), f"{name} is not installed")
        for name in ("redis-server", "chromium", "smtp-sink", "xgettext")
    },
}


@cache
def is_up(service: str) -> bool:
    """Return whether the service is there. Looked up once."""
    look, _ = SERVICES[service]
    return bool(look())


def require(*services: str) -> None:
    """Skip the test that calls this unless they are there, or fail it where they must be."""
    reasons = [SERVICES[service][1] for service in services if not is_up(service)]
    if reasons and os.environ.get("PAPERBOY_REQUIRE_SERVICES"):
        pytest.fail(", ".join(reasons), pytrace=False)
    if reasons:
        pytest.skip(", ".join(reasons))
