"""The whole service in one process: web server, Celery worker and beat, each in threads."""

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

from digest.management import warmup
from digest.operations import alarms
from digest.tasks import plan_digests
from subscriptions import tasks

WEB_THREADS = 8
MAX_CONNECTIONS = 500
MAX_HEADER_BYTES = 16_384
WORKER_THREADS = 4
STOP_SECONDS = 10  # For a thread to finish.


def use_port(port: int) -> None:
    """Make links point to this port, unless the environment says where the site is."""
    if settings.HAS_OWN_PORT:
        settings.SITE_URL = f"http://127.0.0.1:{port}"


def serve(listener: socket.socket) -> None:
    """Serve requests to this socket until interrupted."""
    with suppress(OSError):  # WhiteNoise warns without it.
        Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    server = waitress.create_server(
        without_body_for_head(get_wsgi_application()),
        sockets=[listener],
        threads=WEB_THREADS,
        ident="",  # No "Server" header.
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,  # On disk.
        clear_untrusted_proxy_headers=False,  # config.client_ip and Django decide whom to believe.
        # Slow clients hold a connection, but no thread.
        connection_limit=MAX_CONNECTIONS,
        asyncore_use_poll=True,
    )
    try:
        with worker_and_beat():
            alarms.start_watching()
            warmup.start_warming()
            plan_digests.delay()  # Beat begins after a minute.
            server.run()
    finally:
        server.close()


def without_body_for_head(app):
    """Remove the body of responses to HEAD (RFC 9110, 9.3.2), which waitress would send."""

    def wrapped_app(environ, start_response):
        body = app(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return body
        body.close()
        return []

    return wrapped_app


@contextmanager
def worker_and_beat():
    """Run a worker and beat in threads during the block."""
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
        tasks.stop_claiming()  # This worker gets no signal of Celery's.
        beat.stop()
        worker.stop(in_sighandler=False)
        deadline = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
