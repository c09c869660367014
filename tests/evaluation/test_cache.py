"""The default cache folder, also where there is no home directory."""

import pytest

from srgan_tf.errors import UserError
from srgan_tf.evaluation import cache


def test_the_cache_is_below_xdg_cache_home_or_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache.default_folder() == tmp_path / "cache" / "srgan_tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.default_folder() == tmp_path / ".cache" / "srgan_tf"


def test_without_a_home_directory_it_says_what_to_set(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user without an entry and without HOME
    with pytest.raises(UserError, match="XDG_CACHE_HOME: not set.*Set it to a folder"):
        cache.default_folder()
