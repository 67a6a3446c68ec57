"""OpenCV and PyAV, which only videos need: imported when they are first used, so that images go without them.

They stand for the packages, `from keras_fvvae.utils.video_packages import av, cv2`; where one is missing, the first use
raises an error that names the extra.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from keras_fvvae.utils.extras import require

WHAT = "Work on videos"
INSTALL = 'pip install "keras_fvvae[video]"'
_PACKAGES = {"av": "av", "cv2": "opencv-python-headless"}


def missing_packages() -> list[str]:
    """Names, in the package index, of those that are not installed; none is imported."""
    return [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]


class _Package:
    """Stands for a package: its attributes are the package's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # What Python and its tools ask any object for must not import anything.
        if attribute.startswith("__") and attribute != "__version__":
            raise AttributeError(attribute)
        return getattr(require(self._name, extra="video", what=WHAT), attribute)


av: Any = _Package("av")
cv2: Any = _Package("cv2")
