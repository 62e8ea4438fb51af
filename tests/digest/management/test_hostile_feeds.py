"""Under `serve`, a hostile feed costs no visitor anything, by "Try now" and by the harvest."""

import http.client
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.cookiejar import CookieJar
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import psutil
import pytest

from tests.config.environment import ROOT
from tests.digest.management.test_serve import running
from tests.servers.journals import JournalServer
from tests.servers.loopback import says
from tests.servers.postfix import wait_until

pytestmark = pytest.mark.slow

#: A feed that blocked the service would do so for far longer, also beside other tests.
MAX_SECONDS, MAX_MB = 3.0, 300
MAKE_ADMIN = (
    "from django.contrib.auth.models import User; User.objects.create_superuser('a', password='b')"
)


def item(markup, attributes=""):
    title = "<title>On bread</title>"
    return f"<rss version='2.0'{attributes}><channel><item>{title}{markup}</item></channel></rss>"


#: Kinds of feeds by size.
HOSTILE = {
    "words": lambda size: item(f"<author>{'a.' * (size // 2)}</author>"),
    "refs": lambda size: item(f"<author>{'a&#46;' * (size // 6)}</author>"),
    "spaces": lambda size: item("".join(f"<a xmlns:n{n}='u{n}'>" for n in range(size // 24))),
    "attrs": lambda size: item("", "".join(f" xmlns:n{n}='u{n}'" for n in range(size // 25))),
    "tags": lambda size: item("<b>" * (size // 3)),
    "nesting": lambda size: item(f"<{'b' * 38}>" * (size // 40)),
    "longattr": lambda size: item(f"<link href='{'a.' * (size // 2)}'/>"),
    "formulas": lambda size: item(
        f"<title>{r'$\frac{x_1}{y^2}$ ' * 9}</title></item><item>" * (size // 200)
    ),
    "amps": lambda size: item(f"<title>{'&' * size}</title>"),
}


class Panel:
    """An operator's session."""

    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}"
        self.opener = build_opener(HTTPCookieProcessor(CookieJar()))
        self.post("/admin/login/", username="a", password="b", next="/robots.txt")

    def get(self, path):
        return self.opener.open(self.base + path, timeout=60).read().decode()

    def post(self, path, form_at=None, **fields):
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', self.get(form_at or path))[1]
        sent = urlencode(fields | {"csrfmiddlewaretoken": token}).encode()
        return self.opener.open(self.base + path, sent, timeout=60).read().decode()


class Watch(threading.Thread):
    """Asks whether the service is alive, and adds up the memory of its processes."""

    def __init__(self, server, port):
        super().__init__(daemon=True)
        self.process, self.port = psutil.Process(server.pid), port
        self.is_over, self.slowest, self.most = threading.Event(), 0.0, 0
        self.command = self.process.cmdline()
        self.before = self.memory()
        self.start()

    def memory(self):
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                # Until it runs its own program, a child is one with its parent.
                if process == self.process or process.cmdline() != self.command:
                    total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 1_000_000

    def run(self):
        while not self.is_over.wait(0.05):
            begun = time.monotonic()
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as client:
                client.request("GET", "/healthz/live/")
                client.getresponse().read()
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.most = max(self.most, self.memory() - self.before)


def test_hostile_feeds_delay_no_visitors(tmp_path):
    environment = {"SOURCES": "", "ALLOWED_PRIVATE_HOSTS": "127.0.0.1", "SECRET_KEY": "x" * 50}
    with (
        closing(JournalServer()) as feeds,
        running(tmp_path, "manage.py serve --port {port}", **environment) as (server, port),
    ):
        shell = [sys.executable, "manage.py", "shell", "-v0", "-c", MAKE_ADMIN]
        process = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)} | environment
        subprocess.run(shell, cwd=ROOT, env=process, check=True)
        panel, watch = Panel(port), Watch(server, port)
        for kind, make in HOSTILE.items():
            for size in (1_900_000, 5_000_000):
                name = f"{kind}-{size // 1_000_000}"
                feeds.answers += [says(make(size).encode())] * 2
                add = "/admin/digest/sourceconfig/add/"
                panel.post(add, title=name, feed_url=f"{feeds.base}/{name}", is_on="on")
                (result,) = wait_until(lambda name=name: outcome(tmp_path, name), 90)
                page = f"/admin/digest/sourceconfig/{name}/"
                tried = panel.post(f"{page}try/", f"{page}change/")
                assert not re.search(r"Failed: \w+\.|failed with|is broken", result + tried), name
                assert size < 2_000_000 or "larger than 2 MB" in tried
        watch.is_over.set()
        watch.join()
    assert watch.slowest < MAX_SECONDS
    assert 0 < watch.most < MAX_MB


def outcome(folder, name):
    """Return what the run of a source ended with, if it has."""
    query = "SELECT result FROM digest_harvest WHERE source = ? AND state != 'running'"
    with closing(sqlite3.connect(folder / "paperboy.sqlite3", timeout=30)) as database:
        return database.execute(query, [name]).fetchone()
