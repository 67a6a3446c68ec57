"""Where a measurement was made."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from keras_fvvae.utils.cores import usable_cores

PACKAGES = ("keras_fvvae", "tensorflow", "keras", "numpy", "scikit-learn", "cyvlfeat", "scikit-image")


def describe_machine() -> dict:
    """Dictionary of the processor, its usable cores, memory in GB, operating system and Python."""
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "memory_gb": round(os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def describe_versions() -> dict[str, str]:
    """Dictionary from package to version, "not installed" where it is not."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def load() -> float:
    """Processes that wanted to run during the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def _cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
