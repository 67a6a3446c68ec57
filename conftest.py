"""What is not collected, and why: modules that need a package that is not installed."""

import importlib.util

SERVING = ("uvicorn", "starlette", "h11", "prometheus_client", "orjson", "tensorflow_serving")
# Written for version 0.1, whose module names are others.
collect_ignore = ["tests/compatibility/make.py", "setup.py"]
# Modules that import a package of an extra at their top; every other module must be importable without extras.
NEED_SERVING = [
    "keras_fvvae/serving/engine/batching.py",
    "keras_fvvae/serving/engine/metrics.py",
    "keras_fvvae/serving/protocols",
    "tests/serving/engine/test_batching.py",
    "tests/serving/protocols",
]
MISSING = [name for name in SERVING if importlib.util.find_spec(name) is None]
if MISSING:
    collect_ignore += NEED_SERVING


def pytest_report_header():
    """Says what is missing: never silence."""
    if MISSING:
        return f"not collected for want of {', '.join(MISSING)} (pip install keras_fvvae[serving]): {NEED_SERVING}"
    return []
