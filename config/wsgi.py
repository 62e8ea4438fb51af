"""The door for web servers: `gunicorn config.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# What a page multiplies is small. Several threads for it would wait for each other by spinning: a
# preview took twice the CPU, from those who ask at the same time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

application = get_wsgi_application()

from digest import alarms, warming  # noqa: E402, which find Django ready from here on.

alarms.watch_beside()
warming.warm_beside()
