"""The pages behind a subscriber's links, and sign-up."""
