"""What the environment may say, and the sentence with which the rest is refused."""
