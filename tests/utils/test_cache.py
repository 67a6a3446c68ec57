"""The cache folder, and who has none."""

import pwd

import pytest

from keras_fvvae.data import load_moving_digits
from keras_fvvae.errors import KerasFVVAEError
from keras_fvvae.utils.cache import cache_folder, known_cache_folder


@pytest.fixture
def homeless(monkeypatch):
    """A user without HOME and without an entry in the list of users."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("KERAS_FVVAE_ZOO", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize(
    ("home", "cache", "expected"),
    [
        ("/home/a", None, "/home/a/.cache/keras_fvvae"),
        ("/home/a", "/tmp/c", "/tmp/c/keras_fvvae"),
        ("/home/a", "c", "/home/a/.cache/keras_fvvae"),
        ("/home/a", "", "/home/a/.cache/keras_fvvae"),
        ("relative", None, None),
        ("relative", "/tmp/c", "/tmp/c/keras_fvvae"),
    ],
)
def test_folder(monkeypatch, home, cache, expected):
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert known_cache_folder() == (None if expected is None else cache_folder())
    assert expected is None or str(cache_folder()) == expected


def test_without_a_home(homeless):
    assert known_cache_folder() is None
    with pytest.raises(
        KerasFVVAEError, match="this user has no home directory. Set XDG_CACHE_HOME .* that can be writ"
    ):
        cache_folder()
    with pytest.raises(KerasFVVAEError, match="Set XDG_CACHE_HOME"):
        load_moving_digits()


def test_what_ships_with_the_package_needs_none(homeless):
    from keras_fvvae import zoo

    assert zoo.load("digits_conv").fvvae.latent_dim == 31
    with pytest.raises(KerasFVVAEError, match="Set XDG_CACHE_HOME"):
        zoo.load("digits_conv", weights="https://127.0.0.1:1/zoo")
