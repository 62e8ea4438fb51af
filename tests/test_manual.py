"""The manual: what it names is there, and following it leads to a first digest.

The transcript of docs/install.md is run as it stands, with the addresses of this test in place of
its own, and without what installs programs and makes users.
"""

import mailbox
import os
import re
import signal
import subprocess
import sys
import time
from argparse import _SubParsersAction
from contextlib import closing, suppress
from datetime import date
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from digest.operations import alarms
from digest.operations.checks import CHECKS
from tests.config.environment import ROOT
from tests.faults.ports import free_port
from tests.helpers import data_files, services
from tests.servers.postfix import Pipe, Postfix

DAY = date(2026, 6, 1)
DOCS = sorted((ROOT / "docs").glob("*.md"))
MANUAL = [*sorted(ROOT.glob("*.md")), *DOCS]
INSTALL = (ROOT / "docs" / "install.md").read_text()

of_each_page = pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)


# ---- What it names


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@of_each_page
def test_links_lead_to_existing_pages(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors_of(there), target


@cache
def options_of(command):
    """Return the options of a command, and of its verbs where it has such."""
    parser = load_command_class(get_commands()[command], command).create_parser(
        "manage.py", command
    )
    verbs = [one.choices.values() for one in parser._actions if isinstance(one, _SubParsersAction)]
    return {name for one in (parser, *chain(*verbs)) for name in one._option_string_actions}


def commands_in(text: str) -> list[list[str]]:
    """Return our commands in a page, each as words: in backquotes, or in a line of code."""
    text = re.sub(r"`[^`\n]*\n[^`\n]*`", lambda found: found[0].replace("\n", " "), text)
    said = re.findall(r"manage\.py ([a-z_]+[^`|#;\n]*)", text)
    said += re.findall(r"^ *paperboy ([a-z_]+[^`|#;\n]*)", text, re.MULTILINE)
    return [command.split("  ")[0].split() for command in said]


@of_each_page
def test_commands_and_options_exist(page):
    for command, *words in commands_in(page.read_text()):
        assert command in get_commands(), command
        options = [word.strip("[]") for word in words if word.startswith(("--", "[--"))]
        assert set(options) <= options_of(command), f"{command} {options}"


@of_each_page
def test_named_files_exist(page):
    names = re.findall(
        r"`((?:tests|digest|subscriptions|config|docs|templates)/[\w./]+\w)`", page.read_text()
    )
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_settings_table_has_every_setting_and_no_other():
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = re.findall(r"^\| (`[A-Z].*?) \|", page, re.MULTILINE)
    named = set(re.findall(r"`([A-Z_]+)`", " ".join(rows)))
    code = (ROOT / "config" / "settings.py").read_text()
    calls = "text|flag|items|hosts|numbers|day\\w+|whole_numbers?|broker|cache|\\w+_address|get"
    read = set(re.findall(rf'(?:{calls})\(\s*"([A-Z_]+)"', code))
    assert named - read - {"SECRET_KEY_FALLBACKS"} == set()
    assert read - named - {"SECRET_KEY_FALLBACKS"} == set()


def test_runbook_and_list_of_alarms_are_current():
    runbook = (ROOT / "docs" / "maintenance.md").read_text().partition("\n## Runbook\n")[2]
    assert set(re.findall(r"^### (.+)$", runbook, re.MULTILINE)) <= set(alarms.names())
    rows = [
        f"| `{check.name}` | {check.title} |"
        for check in sorted(CHECKS, key=lambda check: check.name)
        if check.severity == "alarm"
    ]
    table = "\n".join(["| alarm | is raised unless |", "|---|---|", *rows])
    assert table in (ROOT / "docs" / "monitoring.md").read_text(), f"Write this:\n{table}"


def test_index_lists_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in DOCS if f"({page.name})" not in index] == ["README.md"]


# ---- What it has others write


# ---- What comes back through a pipe


# ---- From a bare Debian to a first digest

#: Programs that install, or need a user that isn't here. The others are the real ones.
STUBS = data_files.DATA / "install_stubs"
NOT_HERE = ["apt-get", "pipx", "uv", "git", "adduser", "usermod", "chgrp", "postconf"]


def transcript(port, postfix, home: Path) -> str:
    """Return the blocks of the first chapter as one script, with what holds in this test."""
    chapter = INSTALL.partition("## Without Docker")[2].partition("### PostgreSQL")[0]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    script = "\n".join(block for block in blocks if "createsuperuser" not in block)
    here = {"port": port, "postfix": postfix, "home": home, "root": ROOT, "python": sys.executable}
    for theirs, ours in data_files.load("install_addresses.toml").items():
        assert theirs in script, theirs
        script = script.replace(theirs, ours.format(**here))
    return script


@pytest.mark.slow
@pytest.mark.services
def test_install_transcript_leads_to_a_first_digest(tmp_path):
    services.require("postfix")
    for name in ("bin", "data"):
        (tmp_path / name).mkdir()
    stubs = {stub.name: stub for stub in STUBS.iterdir()}
    for name, stub in {**stubs, **dict.fromkeys(NOT_HERE, stubs["true"])}.items():
        (tmp_path / "bin" / name).write_text(stub.read_text().replace("HOME", str(tmp_path)))
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("mail", "service.log"):
        (tmp_path / name).touch()
    (tmp_path / "expected").write_text("1")

    def keep(recipient, message):
        with closing(mailbox.mbox(tmp_path / "mail")) as box:
            box.add(message)
        return 0 if recipient == "reader@papers.home.arpa" else 1

    with Pipe(keep) as pipe, Postfix(pipe=pipe, domain="papers.home.arpa") as postfix:
        try:
            run = subprocess.run(
                ["bash", "-euxo", "pipefail", "-c", transcript(free_port(), postfix, tmp_path)],
                env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        finally:
            stop(tmp_path)
    log = (tmp_path / "service.log").read_text()
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:] + log
    assert '{"status": "ready", "reasons": [], "degraded": []}' in run.stdout
    assert "✗" not in run.stdout
    with closing(mailbox.mbox(tmp_path / "mail")) as box:
        confirm, _ = list(box)
    assert "Confirm your subscription" in confirm["Subject"]
    assert "https://arxiv.org/abs/" in run.stdout
    assert "Traceback" not in log


def stop(home):
    """Stop what the stub of systemctl has started."""
    with suppress(FileNotFoundError, ProcessLookupError):
        os.killpg(int((home / "service.pid").read_text()), signal.SIGTERM)
        time.sleep(1)
        os.killpg(int((home / "service.pid").read_text()), signal.SIGKILL)
