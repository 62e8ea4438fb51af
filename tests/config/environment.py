"""Environments that hold nothing else, and commands in processes that have no other."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PUBLIC = {
    "SITE_URL": "https://papers.example.org",
    "SECRET_KEY": "a secret of more than 32 characters",
    "ALLOWED_HOSTS": "papers.example.org",
}
DATABASE = {"DATABASE_URL": "postgres://you@127.0.0.1/papers"}


def manage(*arguments, **environment):
    """Run a command in a process of its own, in an environment that holds nothing else."""
    how = {"cwd": ROOT, "env": {"PATH": os.environ["PATH"]} | environment, "text": True}
    arguments = [sys.executable, "manage.py", *arguments]
    return subprocess.run(arguments, **how, capture_output=True, check=False)
