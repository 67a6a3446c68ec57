"""Ending a computation that nobody waits for any more."""

from __future__ import annotations

import contextlib
import threading
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
        self.asked = False
        self._manager = None
        self._lock = threading.Lock()

    def ask(self) -> None:
        """Asks for it."""
        with self._lock:
            self.asked, manager = True, self._manager
        if manager is not None:
            manager.start_cancel()

    @contextlib.contextmanager
    def cancels(self) -> Iterator[None]:
        """What TensorFlow computes in this block, in this thread."""
        if _tensorflow is None:
            yield
            return
        # One for each attempt: TensorFlow cancels the rest of what fails by the same means.
        manager = _tensorflow.CancellationManager()
        with self._lock:
            asked, self._manager = self.asked, manager
        if asked:
            manager.start_cancel()
        try:
            with _tensorflow.CancellationManagerContext(manager):
                yield
        finally:
            with self._lock:
                self._manager = None
