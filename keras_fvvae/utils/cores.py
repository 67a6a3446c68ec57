"""Cores that this process may use, and what they are."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Their number: with taskset or in a container fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_lines() -> list[str]:
    """Lines of Linux's description of the processor, `/proc/cpuinfo`; none elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
