#!/usr/bin/env python
"""Paperboy's commands: `uv run manage.py help`."""

import os
import sys


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.management import execute_from_command_line

    from config.env import exit_on_bad_settings

    with exit_on_bad_settings():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
