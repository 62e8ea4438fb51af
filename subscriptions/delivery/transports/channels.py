"""Post messages to channels; hand emails to the transport for emails."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ

from subscriptions import hooks
from subscriptions.delivery.transports.base import Connection, DeliveryResult, Message, Transport
from subscriptions.delivery.worker.greenlets import wait_for
from subscriptions.security.encryption import UnreadableSecret, decrypt

THREADS = 8
POST_SECONDS = 120  # In which a post waits for a thread and ends.


class ChannelTransport:
    """Posts the messages to channels, and hands all others to the transport of emails."""

    def __init__(self, emails: Transport):
        self.emails, self.connections = emails, emails.connections
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="channel")

    def connect(self) -> "ChannelConnection":
        return ChannelConnection(self.emails.connect(), self._threads)


class ChannelConnection:
    """A connection to the mail server, which also posts."""

    def __init__(self, emails: Connection, threads: ThreadPoolExecutor):
        self._emails, self._threads = emails, threads
        self._post: Callable[[], DeliveryResult] | None = None
        self.is_usable, self.close = emails.is_usable, emails.close

    def offer(self, message: Message) -> DeliveryResult | None:
        """Nothing is posted before `finish`."""
        self._post = None
        if not message.channel:
            return self._emails.offer(message)
        try:
            self._post = partial(hooks.post_to_channel, decrypt(message.secret), message.mime)
        except UnreadableSecret as error:
            return DeliveryResult("deferred", "post", str(error))
        return None

    def finish(self) -> DeliveryResult:
        if self._post is None:
            return self._emails.finish()
        ours, theirs = socket.socketpair()
        future = self._threads.submit(self._post)
        future.add_done_callback(lambda _: theirs.close())  # Which wakes up this task.
        try:
            wait_for(ours, EVENT_READ, POST_SECONDS)
            if future.done():
                return future.result()
        finally:
            has_begun = not future.cancel()
            ours.close()
        if has_begun:
            return DeliveryResult("unknown", "post", "no answer in time")
        return DeliveryResult("deferred", "post", "other channels were too slow")
