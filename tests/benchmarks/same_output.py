"""Compare what two checkouts show to people: emails, pages, commands and the panel.

    uv run python -m tests.benchmarks.same_output OLD NEW

Both are checkouts with a `.venv`. In each, the demo is set up, two people sign up (in English and
in German) and do all that one can do, one address bounces, and pages of the panel are opened. The
clock stands still (Debian's `faketime`) and randomness is seeded, so both should write the same.
Prints the differences. The steps use only addresses, commands and models of the contract.
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

MOMENT = "2026-11-25 08:20:00"
PURPOSES = "confirm|preferences|unsubscribe|feedback|digests|move|learned|library|saved|why|feeds"
PURPOSES += "|me|history"
#: What differs in any case: tokens, keys, times of computing, folders.
VOLATILE = [
    (re.compile(rf"/({PURPOSES})/[\w:=.~-]{{12,}}"), r"/\1/TOKEN"),
    (re.compile(r'csrfmiddlewaretoken" value="[^"]+"'), "CSRF"),
    (re.compile(r"[?&]k=[\w=-]+"), "?k=K"),
    (re.compile(r'nonce-[\w+/=-]+|nonce="[^"]+"'), "NONCE"),
    (re.compile(r"\b[0-9a-f]{12,64}\b|[\w-]{40,}|=_\w+|={5,}\d+=="), "ID"),
    (re.compile(r"\b\d+(\.\d+)? (seconds?|ms|MB|minutes?)\b"), "N UNIT"),
    (re.compile(r"\b(column|field)-\w+"), r"\1"),  # CSS classes of the panel's columns.
    (re.compile(r'<option value="\d+">(?=[^<]* \| Can )'), "<option>"),  # Rows of permissions.
]
UNSTABLE_HEADERS = ("Content-Length", "ETag", "Last-Modified", "Expires")
PAGES = Path(__file__).with_name("same_output_pages.txt").read_text().split()
COMMANDS = Path(__file__).with_name("same_output_commands.txt").read_text().splitlines()
BOUNCE = Path(__file__).with_name("same_output_bounce.eml").read_text()


def main(old: str, new: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        for checkout in (old, new):
            out = Path(folder, Path(checkout).resolve().name)
            out.mkdir()
            with tempfile.TemporaryDirectory() as data:
                environment = {"DATA_DIR": data, "PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}
                environment |= {"SECRET_KEY": "a key for the comparison of two checkouts"}
                environment |= {"DJANGO_SETTINGS_MODULE": "config.settings"}
                environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
                command = ["faketime", "-f", MOMENT, ".venv/bin/python", __file__, "--write", out]
                subprocess.run(command, cwd=checkout, env=environment, check=True)
        names = [path.name for path in Path(folder).iterdir()]
        return subprocess.run(["diff", "-r", *names], cwd=folder, check=False).returncode


class Writer:
    """Writes each output to a numbered file of `out`."""

    def __init__(self, out):
        self.out, self.count, self.emails_seen = Path(out), 0, set()

    def write(self, name: str, text: str) -> None:
        self.count += 1
        for pattern, instead in (
            *VOLATILE,
            (re.compile(re.escape(os.environ["DATA_DIR"])), "DATA"),
        ):
            text = pattern.sub(instead, text.replace(os.getcwd(), "ROOT"))
        name = re.sub(r"[^A-Za-z0-9]+", "-", name)[:80]
        (self.out / f"{self.count:03}-{name}.txt").write_text(text)

    def page(self, client, path: str, name: str = "", **data) -> None:
        """Ask for a page, by POST where there are `data`."""
        answer = client.post(path, data) if data else client.get(path)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        headers = [f"{k}: {v}" for k, v in answer.headers.items() if k not in UNSTABLE_HEADERS]
        text = "\n".join([str(answer.status_code), *sorted(headers), "", body.decode()])
        self.write(f"{'post' if data else 'get'} {name or path}", text)

    def command(self, *words: str, **options) -> None:
        from django.core.management import CommandError, call_command

        output = io.StringIO()
        try:
            call_command(*words, stdout=output, stderr=output, **options)
        except (CommandError, SystemExit) as error:
            output.write(f"{type(error).__name__}: {error}")
        self.write(" ".join(["command", *words]), output.getvalue())

    def emails(self) -> list:
        """Run a pass of delivery. Return the new emails, which are written as bytes and as text."""
        self.command("tick")
        files = set(Path(os.environ["DATA_DIR"], "outbox").glob("*.eml")) - self.emails_seen
        self.emails_seen |= files
        found = []
        for file in sorted(files, key=lambda file: int(file.stem.rpartition("-")[2])):
            mime, kind = file.read_bytes(), file.name.partition("-")[0]
            email = message_from_bytes(mime, policy=policy.default)
            self.write(f"email {kind}", mime.decode())
            for part in ("plain", "html"):
                self.write(f"email {kind} {part}", email.get_body((part,)).get_content())
            found.append(email)
        return found


def links(email, purpose: str) -> list[str]:
    bodies = [email.get_body((part,)).get_content() for part in ("plain", "html")]
    text = "\n".join([*bodies, *map(str, email.values())])
    return sorted(set(re.findall(rf"/{purpose}/[\w:=.~-]+/", text)))


def write_all(out: str) -> None:
    from django.conf import settings
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.test import Client
    from django.urls import reverse
    from django.utils import timezone

    settings.ALLOWED_HOSTS = ["*"]
    writer, english = Writer(out), Client(headers={"accept-language": "en"})
    writer.command("demo", no_serve=True)
    demo = writer.emails()
    for path in PAGES:
        for language in ("en", "de"):
            writer.page(Client(headers={"accept-language": language}), path, f"{language} {path}")
    for language in ("en", "de"):
        one_subscriber(writer, Client(headers={"accept-language": language}), language)
    for email in demo:
        text = BOUNCE.format(message_id=email["Message-ID"], to=email["To"])
        sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
        writer.command("inbound")
    writer.page(english, links(demo[-1], "preferences")[0], "preferences of a bounced address")
    writer.page(english, "/subscribe/", email="demo@paperboy.example", timezone="UTC", hour="7")
    writer.emails()
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    for command in COMMANDS:
        writer.command(*command.replace("TOMORROW", tomorrow).split())
    writer.emails()
    panel = Client(headers={"accept-language": "en"})
    panel.force_login(User.objects.get(is_superuser=True))
    for model in sorted(admin.site._registry, key=lambda model: model._meta.label):
        url = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        writer.page(panel, reverse(f"{url}_changelist"))
        if row := model._default_manager.order_by("pk").first():
            writer.page(panel, reverse(f"{url}_change", args=[row.pk]))
    writer.page(panel, "/admin/")


def one_subscriber(writer, client, language) -> None:
    """Do everything that a person can do, from sign-up to unsubscribing."""
    address = f"reader-{language}@example.org"
    asked = {"email": address, "topics": ["large-language-models", "graph-learning"]}
    words = '"graph generation"\nprotein folding'
    asked |= {"interests": words, "timezone": "Europe/Berlin", "hour": "7"}
    writer.page(client, "/subscribe/", **asked)
    writer.page(client, "/subscribe/", email="wrong", timezone="Mars/X", hour="77")
    (email,) = writer.emails()
    (confirm,) = links(email, "confirm")
    writer.page(client, confirm)
    for name in ("confirm", "confirm again"):
        writer.page(client, confirm, name, again="")
    digest = writer.emails()[-1]
    for purpose in PURPOSES.split("|"):
        for path in links(digest, purpose)[:4]:
            writer.page(client, path)
    preferences = links(digest, "preferences")[0]
    for purpose in ("why", "learned", "library", "saved", "feeds"):
        writer.page(client, preferences.replace("preferences", purpose))
    settings = {"topics": ["large-language-models"], "timezone": "UTC", "hour": "9", "size": "5"}
    more = {"mute": ["graph-learning"], "interests": "proteins", "muted_interests": "chess"}
    for name, data in (
        ("save", settings | more | {"action": "save"}),
        ("wrong", {"timezone": "X", "hour": "99", "size": "0", "pause_until": "never"}),
        ("pause", settings | {"pause_until": "2026-11-29", "action": "save"}),
        *((action, {"action": action}) for action in ("resume", "export", "reset")),
        ("move", {"action": "move", "new_email": f"new-{address}", "email": f"new-{address}"}),
    ):
        writer.page(client, preferences, f"preferences {name}", **data)
        writer.page(client, preferences, f"preferences after {name}")
    html = digest.get_body(("html",)).get_content()
    paper = re.search(r'data-paper-id="([^"]+)"', html)[1]
    for value in ("more", "save", "less", "clear", "rubbish"):
        url = links(digest, "feedback")[0]
        writer.page(client, url, f"feedback {value}", paper=paper, value=value)
    writer.page(client, "/lost/", email=address)
    for email in writer.emails():
        for path in links(email, "move"):
            writer.page(client, path)
            writer.page(client, path, agree="")
    writer.emails()
    unsubscribe = links(digest, "unsubscribe")[0]
    writer.page(client, unsubscribe)
    for name in ("unsubscribe", "unsubscribe again"):
        writer.page(client, unsubscribe, name, again="")
    writer.page(client, preferences, "preferences after unsubscribing")
    writer.emails()


def seed() -> None:
    """Let everything random be the same in each run."""
    import itertools
    import random

    numbers = itertools.count()
    os.urandom = lambda size: hashlib.shake_256(str(next(numbers)).encode()).digest(size)
    random._urandom = os.urandom
    random.seed(1)


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        seed()
        sys.path.insert(0, os.getcwd())
        import django

        django.setup()
        write_all(sys.argv[2])
    else:
        sys.exit(main(*sys.argv[1:]))
