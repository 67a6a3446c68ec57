"""Ending a computation that nobody waits for any more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

try:
    from tensorflow.python.eager import cancellation as _tensorflow
except ImportError:  # not in TensorFlow's public interface: without it a computation runs to its end
    _tensorflow = None


class Cancellation:
    """Of what one thread computes: may be asked for from any other, before, while and after it computes.

    TensorFlow looks for it between operations, so that what is cancelled ends after the operation that it is in: the
    decoding of one image, whose pixels and scans are bounded, or one layer of a batch.
    """

    def __init__(self) -> None:
        self._manager = None if _tensorflow is None else _tensorflow.CancellationManager()
        self.asked = False

    def ask(self) -> None:
        """Asks for it."""
        if not self.asked:
            self.asked = True
            if self._manager is not None:
                self._manager.start_cancel()

    @contextlib.contextmanager
    def cancels(self) -> Iterator[None]:
        """What TensorFlow computes in this block, in this thread."""
        if self._manager is None:
            yield
            return
        with _tensorflow.CancellationManagerContext(self._manager):
            yield
