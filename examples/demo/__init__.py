# SPDX-License-Identifier: Apache-2.0
"""The main job: one scripted phone call through failing providers, seen, measured and drawn."""
