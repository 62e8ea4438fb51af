"""The preferences page: its forms, what it shows, and its actions."""
