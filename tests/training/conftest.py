"""The same small data and recipes as for the commands."""

from tests.tasks.conftest import _video_files, folder, recipe, small_disk, video_recipe, videos

__all__ = ["_video_files", "folder", "recipe", "small_disk", "video_recipe", "videos"]
