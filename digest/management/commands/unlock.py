"""`manage.py unlock`: allow log-ins to the admin again after wrong passwords."""

from argparse import ArgumentTypeError

from django.core.management.base import CommandError

from digest.management import base
from digest.numbers import counted
from subscriptions.admin import log_in
from subscriptions.security import rate_limits


def ip(text: str) -> str:
    """Return the IP address of an argument: an address, or the first of a network."""
    address, slash, _ = text.partition("/")
    network = rate_limits.network_of(address)
    is_address = "/" in network  # Other text is returned as it is.
    if not is_address or (slash and text != network):
        raise ArgumentTypeError(
            f"{text!r} is not an IP address such as 192.0.2.1 or 2001:db8::1, nor a network as in "
            f"the audit log, such as 192.0.2.0/24"
        )
    return address


class Command(base.Command):
    help = "Lift the lock on an account or a network after wrong passwords in the admin panel."

    def add_arguments(self, parser):
        parser.add_argument("--account", metavar="NAME", default="", help="Name of the account.")
        parser.add_argument(
            "--ip",
            metavar="ADDRESS",
            type=ip,
            help="IPv4 or IPv6 address, or its network as in the audit log.",
        )

    def handle(self, *, account, ip, **options):
        if not account and not ip:
            raise CommandError("Specify --account NAME, --ip ADDRESS, or both.")
        if account and log_in.owner_of(account) is None:
            raise CommandError(f"There is no account named {account!r}. Check the spelling.")
        count = log_in.unlock(account, ip)
        self.stdout.write(f"Cleared {counted(count, 'failed log-in')}.")
