"""Health, alarms, metrics, invariants, retention."""
