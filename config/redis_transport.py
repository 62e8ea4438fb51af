"""Celery's Redis transport, with workarounds for faults of kombu. A message may come twice.

- kombu counts unacknowledged messages against the prefetch limit. If Redis does not answer an
  acknowledgement, kombu never uncounts the message: after a few, the worker takes nothing more.
- A full Redis cannot record that a message was taken, which would end the worker.
- What is no message (no JSON, a body that is no base64) would end the worker. It is dropped, with
  a line in the log that does not repeat it.
"""

import logging
from contextlib import contextmanager
from json import JSONDecodeError

from kombu.transport import redis, virtual
from redis.exceptions import OutOfMemoryError

logger = logging.getLogger(__name__)

#: What Celery raises for something that is not a message of its own.
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)


class NoMessage(Exception):
    """Something in a queue that has not even the envelope of a message."""


class Message(redis.Channel.Message):
    def __init__(self, payload, channel=None, **kwargs):
        try:
            super().__init__(payload, channel, **kwargs)
        except UNREADABLE as error:
            raise NoMessage(f"{type(error).__name__}: {error}") from error


class QoS(redis.QoS):
    def append(self, message, delivery_tag):
        try:
            super().append(message, delivery_tag)
        except OutOfMemoryError:
            logger.warning("Redis is full: messages taken now are delivered at most once")
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag):
        with self._uncounted_on_failure(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag, requeue=False):
        with self._uncounted_on_failure(delivery_tag):
            super().reject(delivery_tag, requeue)

    @contextmanager
    def _uncounted_on_failure(self, delivery_tag):
        try:
            yield
        except BaseException:
            self._quick_ack(delivery_tag)
            raise


class Channel(redis.Channel):
    QoS, Message = QoS, Message

    def basic_consume(self, queue, no_ack, callback, *args, **kwargs):
        def receive(message):
            try:
                return callback(message)
            except UNREADABLE as error:
                _log_dropped(f"{type(error).__name__}: {error}")
                message.reject()

        return super().basic_consume(queue, no_ack, receive, *args, **kwargs)

    def _brpop_read(self, **options):
        try:
            return super()._brpop_read(**options)
        except (NoMessage, JSONDecodeError, UnicodeDecodeError) as error:
            _log_dropped(error)
            return True  # It was taken.


def _log_dropped(reason):
    logger.error("Dropped an unreadable message: %s", reason)


class Transport(redis.Transport):
    Channel = Channel
