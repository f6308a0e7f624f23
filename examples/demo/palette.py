# SPDX-License-Identifier: Apache-2.0
"""What the pictures look like: colours and type, the same in all of them."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's palette, told apart by all kinds of colour vision.
BLUE, ORANGE, GREEN, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"
PURPLE = "#CC79A7"
INK, GREY, PALE = "#222222", "#777777", "#E9E9E9"

HEALTH = {
    "healthy": "#BFE3D6",
    "cooling_down": "#6E6E6E",
    "probing": SKY,
    "probation": PURPLE,
    "disabled": "#000000",
    "unavailable": "#6E6E6E",
}
"""States of a provider: light is trusted, dark is not asked."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}
