"""The first account of the admin panel: made once, its password in a file for its owner alone."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model

USERNAME = "admin"


def password_file() -> Path:
    return Path(settings.DATA_DIR) / "admin-password"


def make_admin() -> bool:
    """Make the account with a random password, unless there is one. Return whether it was made."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return False
    password = secrets.token_urlsafe(12)
    path = password_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
    users.create_superuser(USERNAME, password=password)
    return True


def how_to_log_in() -> str:
    """Return the sentence that says how to log in to the panel."""
    path = password_file()
    if path.exists():
        return f"user {USERNAME}, password {path.read_text().strip()} (kept in {path})"
    return "with the account that you made (manage.py createsuperuser makes another)"
