"""The loop that sends letters."""
