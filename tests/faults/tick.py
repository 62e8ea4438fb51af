"""Passes of delivery in a process of its own, with the short times and faults of app.py.

`python -m tests.faults.tick` is one, as cron makes it; with `plan`, of what is due as well; with
`rest`, another follows until no letter is open.
"""

import sys
import time

from tests.faults.app import app

BETWEEN = 0.2  # Seconds.


def main():
    from subscriptions.delivery import clock, messages, sweep, worker
    from subscriptions.models import Letter

    app.set_current()
    if "plan" in sys.argv:
        from digest.planning import plan

        plan.plan(clock.database_now())
    while True:
        sweep.sweep(clock.database_now())
        messages.write_due(clock.database_now())
        worker.deliver_due(clock.database_now)
        if "rest" not in sys.argv or not Letter.objects.open().exists():
            return
        time.sleep(BETWEEN)


if __name__ == "__main__":
    main()
