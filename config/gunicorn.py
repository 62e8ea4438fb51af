"""Log lines of gunicorn in our format: `gunicorn --logger-class config.gunicorn.Log`."""

import os

from gunicorn.glogging import Logger

from config.log_format import FORMATTERS, LogContext


class Log(Logger):
    """Gunicorn's first process never loads Django, so LOGGING does not reach it."""

    def setup(self, cfg):
        super().setup(cfg)
        formatter = FORMATTERS.get(os.environ.get("LOG_FORMAT", ""), FORMATTERS["text"])
        for handler in self.error_log.handlers:
            handler.addFilter(LogContext())
            handler.setFormatter(formatter["()"](formatter.get("format")))
