"""The delivery of letters: queue, state transitions, worker, recovery."""
