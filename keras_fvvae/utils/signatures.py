"""What classes take."""

from __future__ import annotations

import inspect
from typing import Any


def init_parameters(kind: Any) -> list[str]:
    """Names of the arguments of a class's `__init__`.

    `inspect.signature` of the class itself takes the `__new__` of Keras's layers where `__init__` is inherited, before
    Python 3.11.3 (3.11.2 is Debian 12's).

    Example:
        >>> class Base:
        ...     def __new__(cls, *args): ...
        >>> class Layer(Base):
        ...     def __init__(self, units, seed=0): ...
        >>> init_parameters(type("Own", (Layer,), {}))
        ['units', 'seed']
    """
    _, *names = inspect.signature(kind.__init__).parameters
    return names
