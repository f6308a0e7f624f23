# SPDX-License-Identifier: Apache-2.0
"""The version of the package, read by the build and by the plugin registration."""

from __future__ import annotations

__version__ = "0.1.0"
