"""The WSGI application: `gunicorn config.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from config.env import GUNICORN_GIVES_UP, exit_on_bad_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# The matrices of a page are small. Several BLAS threads would wait for each other by spinning: a
# preview took twice the CPU.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

with exit_on_bad_settings(GUNICORN_GIVES_UP):
    application = get_wsgi_application()

from digest.management import warmup  # After Django is set up.
from digest.operations import alarms

alarms.start_watching()
warmup.start_warming()
