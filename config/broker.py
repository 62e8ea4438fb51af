"""Redis as Celery's broker, from which a worker takes messages again whatever went wrong with one.

A worker takes no more messages than it has room for, and a message gives its room back when Redis
has heard that it was taken. kombu keeps the room where Redis doesn't answer just then: so many such
moments, and the worker listens for ever and takes nothing. A message is a hint: it may come again.
"""

from kombu.transport import redis


class QoS(redis.QoS):
    def ack(self, delivery_tag):
        try:
            super().ack(delivery_tag)
        finally:
            self._quick_ack(delivery_tag)

    def reject(self, delivery_tag, requeue=False):
        try:
            super().reject(delivery_tag, requeue)
        finally:
            self._quick_ack(delivery_tag)


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel
