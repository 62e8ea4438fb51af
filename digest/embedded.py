"""The whole service in one process: web server, worker and beat, each in threads.

What runs as separate processes in production runs here with the same code: the worker is a real
Celery worker on whatever broker is set (by default `memory://`), and beat is Celery's own.
"""

import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import waitress
from celery import current_app
from celery.beat import EmbeddedService, Scheduler
from celery.worker import WorkController
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from digest import alarms, warming
from subscriptions import tasks

WEB_THREADS = 8
CONNECTIONS = 500
MAX_HEADER_BYTES = 16_384  # Of a request: its first line and all its headers.
WORKER_THREADS = 4
PATIENCE = 10  # Seconds that a thread gets to finish what it is at.


def use_port(port: int) -> None:
    """Make links point to this port, unless the environment says where the site is."""
    if settings.HAS_OWN_PORT:
        settings.SITE_URL = f"http://127.0.0.1:{port}"


def serve(listener: socket.socket) -> None:
    """Serve those who come to this socket, until interrupted."""
    with suppress(OSError):  # WhiteNoise warns without it. The code may be another user's.
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    server = waitress.create_server(
        without_body_for_head(get_wsgi_application()),
        sockets=[listener],
        threads=WEB_THREADS,
        ident="",  # Nobody needs to know, and a name beyond Latin-1 no header could hold.
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,  # It is kept on disk meanwhile.
        clear_untrusted_proxy_headers=False,  # config.proxies and Django decide whom to believe.
        # Slow clients hold a connection, and no thread: so many may be slow at once.
        connection_limit=CONNECTIONS,
        asyncore_use_poll=True,
    )
    try:
        with worker_and_beat():
            alarms.watch_beside()
            warming.warm_beside()
            server.run()
    finally:
        server.close()


def without_body_for_head(app):
    """Take the body out of what answers HEAD, as RFC 9110 (9.3.2) has it: waitress sends whatever
    it gets, and a proxy that keeps the connection would take it for the next visitor's answer.
    """

    def answer(environ, start_response):
        body = app(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return body
        body.close()
        return []

    return answer


@contextmanager
def worker_and_beat():
    """Run a worker and beat in threads for as long as the block lasts."""
    app = current_app._get_current_object()
    worker = WorkController(
        app=app,
        hostname="embedded@localhost",
        pool_cls="threads",
        concurrency=WORKER_THREADS,
        queues=["tick", "send", "ingest"],
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        loglevel="WARNING",
    )
    beat = EmbeddedService(app, thread=True, max_interval=5, scheduler_cls=Scheduler)
    threads = [threading.Thread(target=worker.start, name="worker", daemon=True), beat]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        tasks.stop_claiming()  # As Celery's own signal has it, which this worker never gets.
        beat.stop()
        worker.stop(in_sighandler=False)
        deadline = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
