# SPDX-License-Identifier: Apache-2.0
"""Runnable examples: a worker to copy, and local providers to run it against."""
