"""Draws the icons that browsers ask for by name, from favicon.svg: python -m tests.icons

They are kept in static/root, which is served at the root of the site.
"""

import struct

from django.conf import settings
from playwright.sync_api import sync_playwright

from tests import services

STATIC = settings.BASE_DIR / "static"
ROOT = STATIC / "root"
ICO_SIZES = (16, 32, 48)
TOUCH_SIZE = 180


def ico(images: dict[int, bytes]) -> bytes:
    """Return an .ico of square PNGs, each by its width in pixels."""
    head, body = struct.pack("<3H", 0, 1, len(images)), b""
    begin = len(head) + 16 * len(images)
    for size, png in images.items():
        head += struct.pack("<4B2H2I", size, size, 0, 0, 1, 32, len(png), begin + len(body))
        body += png
    return head + body


def draw(browser, svg: str, size: int) -> bytes:
    """Return the drawing as a PNG, transparent where nothing is drawn."""
    page = browser.new_page(viewport={"width": size, "height": size})
    page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}")
    png = page.screenshot(omit_background=True)
    page.close()
    return png


def drawn(browser) -> dict[str, bytes]:
    """Return each icon by its name."""
    svg = (STATIC / "favicon.svg").read_text()
    # A telephone rounds the corners itself, and makes black what is transparent.
    full = svg.replace(' rx="7"', "")
    return {
        "favicon.ico": ico({size: draw(browser, svg, size) for size in ICO_SIZES}),
        "apple-touch-icon.png": draw(browser, full, TOUCH_SIZE),
    }


def main():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=services.path_of("chromium"), args=["--no-sandbox"]
        )
        for name, octets in drawn(browser).items():
            (ROOT / name).write_bytes(octets)
        browser.close()


if __name__ == "__main__":
    main()
