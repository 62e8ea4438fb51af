"""The delivery of letters: queue, state transitions, worker, transports."""
