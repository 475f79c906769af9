"""Which colour text has on which ground, so that it can be read."""

from __future__ import annotations

from typing import Final

DARK: Final = "#000000"
LIGHT: Final = "#ffffff"


def text_color(ground: str) -> str:
    """Black or white, whichever is told better from a ground; the contrast is at least 4.5 on any.

    >>> text_color("#ffd54f"), text_color("#7a0019")
    ('#000000', '#ffffff')
    """
    return max((DARK, LIGHT), key=lambda text: contrast(text, ground))


def contrast(one: str, other: str) -> float:
    """How well two colours, such as "#28a745", are told from each other: from 1 to 21.

    Source:
        Web Content Accessibility Guidelines 2.1, "contrast ratio" and "relative luminance".

    Example:
        >>> contrast("#000000", "#ffffff")
        21.0
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    red, green, blue = (_linear(int(color[at : at + 2], 16) / 255) for at in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(level: float) -> float:
    linear: float = level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4
    return linear
