"""Fixtures of the servers that the suites of REST and gRPC ask."""

from tests.serving.conftest import saved_models, server  # noqa: F401
