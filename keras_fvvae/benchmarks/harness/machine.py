"""Where a measurement was made."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from keras_fvvae.utils.cores import processor_lines, usable_cores

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


def multiplies_in_bfloat16() -> bool:
    """Whether the processor itself does, as Linux tells; one that emulates it is slower than in float32."""
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(_of_processor("flags", "Features").split())


def _cpu():
    return _of_processor("model name") or platform.processor() or platform.machine()


def _of_processor(*fields):
    """The first of these fields of Linux's description of it, "" where there is none."""
    return next((line.split(":", 1)[1].strip() for line in processor_lines() if line.startswith(fields)), "")
