"""The web server's own lines, as all others look: `gunicorn --logger-class config.gunicorn.Log`."""

import os

from gunicorn.glogging import Logger

from config.logs import FORMATTERS, Place


class Log(Logger):
    """Its first process never loads Django, and so can't be told by LOGGING."""

    def setup(self, cfg):
        super().setup(cfg)
        chosen = FORMATTERS.get(os.environ.get("LOG_FORMAT", ""), FORMATTERS["text"])
        for handler in self.error_log.handlers:
            handler.addFilter(Place())
            handler.setFormatter(chosen["()"](chosen.get("format")))
