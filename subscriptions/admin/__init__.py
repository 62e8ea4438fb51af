"""The panel's pages of the lower room.

Topics are among the upper room's (digest.admin): theirs says which papers match.
"""

from subscriptions.admin import letters, operators, sending, subscribers, trail  # noqa: F401
