"""The door for web servers: `gunicorn config.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from config.starting import GUNICORN_GIVES_UP, refusals_told

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# What a page multiplies is small. Several threads for it would wait for each other by spinning: a
# preview took twice the CPU, from those who ask at the same time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

with refusals_told(GUNICORN_GIVES_UP):
    application = get_wsgi_application()

from digest import alarms, warming  # They find Django ready from here on.

alarms.watch_beside()
warming.warm_beside()
