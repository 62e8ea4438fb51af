"""The door for web servers: `gunicorn config.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()

from digest import alarms, warming  # noqa: E402, which find Django ready from here on.

alarms.watch_beside()
warming.warm_beside()
