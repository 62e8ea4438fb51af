"""The operator's accent colour in emails and on pages: its shades, checked for contrast."""

import re

from django.core.exceptions import ImproperlyConfigured

COLOR = re.compile(r"#[0-9a-f]{6}")
WHITE, BLACK = "#ffffff", "#000000"
DARK_BACKGROUND = "#15171a"
MIN_CONTRAST, MIN_DARK_CONTRAST = 4.5, 7.0  # WCAG 2.2, 1.4.3 and 1.4.6.
#: The default shades in paperboy.css and the templates of emails, for light and for dark pages.
VARIABLES = ("--accent", "--accent-strong", "--accent-tint")
LIGHT_DEFAULTS = ("#1d4f91", "#143a6d", "#eef3fa")
DARK_DEFAULTS = ("#9fc3f8", "#c6dcfb", "#1d2a3c")


def shades(color: str) -> dict[str, str]:
    """Return a colour's shades by the default ones that they replace; none without a colour.

    Raises ImproperlyConfigured for a colour that is too light to be read on the light tint, or
    under white text.
    """
    color = color.lower()
    if not color:
        return {}
    if not COLOR.fullmatch(color):
        raise ImproperlyConfigured(f"ACCENT_COLOR must be like #1d4f91, not {color!r}.")
    tint = _mixed(color, WHITE, 0.93)
    if (ratio := contrast(color, tint)) < MIN_CONTRAST:
        raise ImproperlyConfigured(
            f"ACCENT_COLOR {color} is too light for links and buttons: its contrast is "
            f"{ratio:.1f}. Use a darker colour, with {MIN_CONTRAST} or more."
        )
    dark_tint = _mixed(color, DARK_BACKGROUND, 0.8)
    candidates = (_mixed(color, WHITE, share / 20) for share in range(21))
    accent = next(shade for shade in candidates if contrast(shade, dark_tint) >= MIN_DARK_CONTRAST)
    light_shades = (color, _mixed(color, BLACK, 0.25), tint)
    dark_shades = (accent, _mixed(accent, WHITE, 0.4), dark_tint)
    return dict(zip(LIGHT_DEFAULTS + DARK_DEFAULTS, light_shades + dark_shades, strict=True))


def style(shades: dict[str, str]) -> str:
    """Return the style sheet that gives pages these shades, or "" without any."""
    if not shades:
        return ""
    light, dark = (
        ";".join(f"{name}:{shades[shade]}" for name, shade in zip(VARIABLES, defaults, strict=True))
        for defaults in (LIGHT_DEFAULTS, DARK_DEFAULTS)
    )
    return f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def contrast(foreground: str, background: str) -> float:
    """Return the contrast ratio of two colours, as WCAG defines it."""
    darker, lighter = sorted((_luminance(foreground), _luminance(background)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color):
    channels = [byte / 255 for byte in bytes.fromhex(color[1:])]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(map(float.__mul__, (0.2126, 0.7152, 0.0722), linear))


def _mixed(color, added_color, share):
    """Return the colour with a share of the other, from 0 to 1."""
    pairs = zip(bytes.fromhex(color[1:]), bytes.fromhex(added_color[1:]), strict=True)
    return "#" + bytes(round(start + (end - start) * share) for start, end in pairs).hex()
