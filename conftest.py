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
ARROW = ("pyarrow",)
NEED_ARROW = ["keras_fvvae/features/formats/arrow.py", "keras_fvvae/features/formats/parquet.py"]
LANCE = ("pyarrow", "lance")
NEED_LANCE = ["keras_fvvae/features/formats/lance.py"]
NOT_COLLECTED = []
for extra, packages, modules in (
    ("serving", SERVING, NEED_SERVING),
    ("parquet", ARROW, NEED_ARROW),
    ("lance", LANCE, NEED_LANCE),
):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        collect_ignore += modules
        NOT_COLLECTED.append(
            f"not collected for want of {', '.join(missing)} (pip install keras_fvvae[{extra}]): {modules}"
        )


def pytest_report_header():
    """Says what is missing: never silence."""
    return NOT_COLLECTED
