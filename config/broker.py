"""Redis as Celery's broker, from which a worker takes messages again whatever went wrong with one.

A worker takes no more messages than it has room for, and a message gives its room back when Redis
has heard that it was taken. kombu keeps the room where Redis doesn't answer just then: so many such
moments, and the worker listens for ever and takes nothing. A message is a hint: it may come again.
"""

from contextlib import contextmanager

from kombu.transport import redis


class QoS(redis.QoS):
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
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel
