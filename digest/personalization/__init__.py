"""What a subscriber is interested in: preferences, feedback, library."""
