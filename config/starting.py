"""How a process begins: what is wrong with its settings ends it, and is told in one sentence."""

import sys
from contextlib import contextmanager

from django.core.exceptions import ImproperlyConfigured

#: What gunicorn's workers that can't start end with: after another code, it would start them again.
GUNICORN_GIVES_UP = 3


@contextmanager
def refusals_told(code: int = 1):
    """End the process where its settings are refused, and say why. --traceback says where, too."""
    try:
        yield
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        sys.stderr.write(f"Settings: {error}\n")  # At once, since others may be writing there.
        sys.exit(code)
