"""Take the pictures of the README from the demo, in docs/pictures:

uv run --with pillow python -m tests.pictures
"""

import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from email import message_from_bytes, policy
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.config.environment import ROOT
from tests.faults.ports import free_port
from tests.helpers import services

FOLDER = ROOT / "docs" / "pictures"
DESKTOP, PHONE = (1280, 800), (390, 844)
COLOURS = 64  # Of a compressed picture.
FRAME = 960, 600  # Of the moving picture.
WRITTEN = (
    "I work on protein design with diffusion models, ",
    "but not on surveys.\n",
    "https://arxiv.org/abs/2510.08744\n",
)


@contextmanager
def demo(data_dir: str):
    """Run the demo. Yield what it printed: a dict of names and values."""
    port = str(free_port())
    environment = os.environ | {"DATA_DIR": data_dir, "PYTHONUNBUFFERED": "1", "SOURCES": ""}
    command = [sys.executable, "manage.py", "demo", "--port", port]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            printed = {"Site": f"http://127.0.0.1:{port}"}
            for line in process.stdout:
                name, _, value = line.partition(":")
                printed.setdefault(name, value.strip())
                if name == "Time":  # The last line before it serves.
                    break
            urlopen(f"{printed['Site']}/healthz/", timeout=60).close()
            yield printed
        finally:
            process.terminate()
            process.communicate()


def digest_email(data_dir: str):
    """Return the demo's digest from the outbox."""
    for file in Path(data_dir, "outbox").glob("*.eml"):
        message = message_from_bytes(file.read_bytes(), policy=policy.default)
        if message["List-Id"] is not None:
            return message
    raise LookupError("The demo has sent no digest.")


def take_all(browser, printed, email) -> None:
    """Take the home page and the email in both widths, other pages in the wide one."""
    for suffix, (width, height) in (("", DESKTOP), ("-phone", PHONE)):
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.goto(printed["Site"])
        save(page, f"home{suffix}")
        if not suffix:
            page.goto(printed["Preferences"].replace("/preferences/", "/me/"))
            save(page, "personal")
            user, password = re.findall(r"(?:user|password) ([^\s,]+)", printed["Admin panel"])
            page.goto(f"{printed['Site']}/admin/")
            page.fill("[name=username]", user)
            page.fill("[name=password]", password)
            page.press("[name=password]", "Enter")
            page.wait_for_url("**/admin/")
            save(page, "panel")
        page = context.new_page()  # Without the site's content security policy.
        page.set_content(email.get_body(("html",)).get_content())
        save(page, f"email{suffix}")
        context.close()


def take_moving(browser, printed) -> None:
    """Take the home page while somebody writes into the box."""
    page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.goto(printed["Site"])
    area, frames = page.locator("textarea[name=interests]"), []
    for text in WRITTEN:
        area.press_sequentially(text, delay=10)
        frames.append(frame_of(page))
        page.wait_for_timeout(3_000)
        frames += 4 * [frame_of(page)]  # Long enough to be read.
    file = FOLDER / "box.gif"
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=700, loop=0)
    sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB\n")


def frame_of(page) -> Image.Image:
    image = Image.open(BytesIO(page.screenshot())).convert("RGB")
    return image.resize(FRAME).quantize(COLOURS, dither=Image.Dither.NONE)


def save(page, name: str) -> None:
    """Take a picture of what the window shows, and compress it."""
    page.wait_for_timeout(1_000)  # Charts and previews are drawn by scripts.
    file = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        file, optimize=True
    )
    sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB\n")


def main():
    with tempfile.TemporaryDirectory() as data_dir, demo(data_dir) as printed:
        email = digest_email(data_dir)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=services.path_of("chromium"), args=["--no-sandbox"]
            )
            take_all(browser, printed, email)
            take_moving(browser, printed)


if __name__ == "__main__":
    main()
