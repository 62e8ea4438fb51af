"""Redis as Celery's broker, from which a worker takes messages again whatever went wrong with one.

A worker takes no more messages than it has room for, and a message gives its room back when Redis
has heard that it was taken. kombu keeps the room where Redis doesn't answer just then: so many such
moments, and the worker listens for ever and takes nothing. A message is a hint: it may come again.

A Redis that is full would end a worker to which it has just given a message, since it can't note
that it was taken. And what is no message would end one: no JSON, a body that is no base64. It is
thrown away, with a line in the log that does not repeat it.
"""

import logging
from contextlib import contextmanager
from json import JSONDecodeError

from kombu.transport import redis, virtual
from redis.exceptions import OutOfMemoryError

logger = logging.getLogger(__name__)


#: What Celery raises of a thing that is no message of its own.
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)


class NoMessage(Exception):
    """Something in a queue that is not even the envelope of a message."""


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
        except OutOfMemoryError:  # Redis can't note that it was taken. It is all the same.
            logger.warning("Redis takes nothing more: what is taken now comes once at most")
            virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag):
        with self._room_given_back(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag, requeue=False):
        with self._room_given_back(delivery_tag):
            super().reject(delivery_tag, requeue)

    @contextmanager
    def _room_given_back(self, delivery_tag):
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
                _tell(f"{type(error).__name__}: {error}")
                message.reject()

        return super().basic_consume(queue, no_ack, receive, *args, **kwargs)

    def _brpop_read(self, **options):
        try:
            return super()._brpop_read(**options)
        except (NoMessage, JSONDecodeError, UnicodeDecodeError) as error:
            _tell(error)
            return True  # It was taken.


def _tell(why):
    logger.error("A message that nobody can read is thrown away: %s", why)


class Transport(redis.Transport):
    Channel = Channel
