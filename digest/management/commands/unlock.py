"""`manage.py unlock`: allow log-ins to the admin again after wrong passwords."""

from argparse import ArgumentTypeError

from django.core.management.base import CommandError

from digest.management import base
from digest.wording import counted
from subscriptions.security import rate_limits
from subscriptions.views import admin_login


def ip(text: str) -> str:
    """Return the IP address of an argument: an address, or the first of a network."""
    address, slash, _ = text.partition("/")
    network = rate_limits.network_of(address)
    is_address = "/" in network  # Other text is returned as it is.
    if not is_address or (slash and text != network):
        raise ArgumentTypeError(
            f"{text!r} is no IP address such as 192.0.2.1 or 2001:db8::1, nor a network as the "
            f"panel's trail has them, such as 192.0.2.0/24"
        )
    return address


class Command(base.Command):
    help = (
        "Forget wrong passwords, so that an account, or a network, may log in to the panel again."
    )

    def add_arguments(self, parser):
        parser.add_argument("--account", metavar="NAME", default="", help="The account's name.")
        parser.add_argument(
            "--ip",
            metavar="ADDRESS",
            type=ip,
            help="An IPv4 or IPv6 address, or its network as the trail has it.",
        )

    def handle(self, *, account, ip, **options):
        if not account and not ip:
            raise CommandError("Say whom to let in: --account NAME, --ip ADDRESS, or both.")
        if account and admin_login.owner_of(account) is None:
            raise CommandError(f"There is no account called {account!r}. Nothing is forgotten.")
        count = admin_login.unlock(account, ip)
        passwords = counted(count, "wrong password is", "wrong passwords are")
        self.stdout.write(f"{passwords} forgotten.")
