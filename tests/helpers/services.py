"""The servers and programs of this machine that some tests need.

Such a test is marked `services` and calls `require("postgresql", …)`. Where one is missing, the
test is skipped; where PAPERBOY_REQUIRE_SERVICES is set, as in CI, it fails, so that no green run
hides it.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from functools import cache, partial
from pathlib import Path

import psycopg
import pytest

POSTGRESQL = "postgres://postgres@127.0.0.1:5432"

#: Such a test is about what no database has a part in, and takes long.
once = pytest.mark.skipif(
    "DATABASE_URL" in os.environ,
    reason="is the same on every database: runs with the tests on the embedded defaults",
)


def postgresql() -> bool:
    """Return whether PostgreSQL lets the user postgres in, who may make databases."""
    try:
        psycopg.connect(f"{POSTGRESQL}/postgres", connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def redis() -> bool:
    """Return whether something listens where Redis does."""
    try:
        socket.create_connection(("127.0.0.1", 6379), timeout=3).close()
    except OSError:
        return False
    return True


def program(name: str) -> bool:
    """Return whether this program is installed."""
    return shutil.which(name) is not None


def postfix() -> bool:
    """Return whether a Postfix of our own can be started."""
    return program("postfix") and os.geteuid() == 0


def mount() -> bool:
    """Return whether we may mount file systems."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "none", folder]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


def module(name: str) -> bool:
    """Return whether this package is installed."""
    return importlib.util.find_spec(name) is not None


def path_of(name: str) -> str:
    """Return where this program is."""
    return shutil.which(name)


def vnu() -> str:
    """Return where the Nu HTML checker is, which npm has as vnu-jar."""
    return os.environ.get("VNU_JAR", "")


def semantic_model() -> Path:
    """Return the folder of the sentence embedding model that .ci/test-model made."""
    return Path(os.environ.get("SEMANTIC_TEST_MODEL", "none"))


SERVICES = {
    "playwright": (
        partial(module, "playwright"),
        "Playwright is not installed: uv sync --group browser",
    ),
    "vnu": (
        lambda: program("java") and Path(vnu()).is_file(),
        "no Nu HTML checker: see CONTRIBUTING.md",
    ),
    "axe": (
        partial(module, "axe_playwright_python"),
        "axe-core is not installed: uv sync --group browser",
    ),
    "semantic": (
        lambda: module("onnxruntime") and (semantic_model() / "model.onnx").is_file(),
        "no sentence embeddings: uv sync --group semantic, and see .ci/test-model",
    ),
    "postgresql": (postgresql, f"no PostgreSQL that trusts {POSTGRESQL}"),
    "redis": (redis, "no Redis at 127.0.0.1:6379"),
    "initdb": (
        lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        "PostgreSQL's server programs are not installed under /usr/lib/postgresql",
    ),
    "redis-server": (partial(program, "redis-server"), "redis-server is not installed"),
    "chromium": (partial(program, "chromium"), "chromium is not installed"),
    "smtp-sink": (partial(program, "smtp-sink"), "smtp-sink (of Postfix) is not installed"),
    "postfix": (postfix, "Postfix is not installed, or we are not root, who alone may start it"),
    "mount": (mount, "no file system can be mounted here: be root"),
    "xgettext": (partial(program, "xgettext"), "xgettext (of GNU gettext) is not installed"),
}


@cache
def is_up(service: str) -> bool:
    """Return whether the service is there. Looked up once."""
    look, _ = SERVICES[service]
    return look()


def require(*services: str) -> None:
    """Skip the test that calls this unless they are there, or fail it where they must be."""
    reasons = [SERVICES[service][1] for service in services if not is_up(service)]
    if reasons and os.environ.get("PAPERBOY_REQUIRE_SERVICES"):
        pytest.fail(", ".join(reasons), pytrace=False)
    if reasons:
        pytest.skip(", ".join(reasons))
