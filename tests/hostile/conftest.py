"""Fixtures of the servers that the suites of REST and gRPC ask."""

from tests.serving.conftest import index, indexed_files, saved_models, search_model, server  # noqa: F401
