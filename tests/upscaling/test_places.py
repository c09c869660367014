"""Places that pyarrow does not know itself: what fsspec opens."""

from pathlib import Path

import pytest

from srgan_tf.errors import UserError
from srgan_tf.upscaling import cluster, places, plans

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402


class Simple(MemoryFileSystem):
    """A file system that, as that of SFTP, moves in the simplest way only, and whose errors are its own."""

    protocol = "simple"
    store, pseudo_dirs = {}, [""]

    def mv(self, old, new):
        self.store[self._strip_protocol(new)] = self.store.pop(self._strip_protocol(old))

    def info(self, path, **kwargs):
        if "locked" in path:
            raise RuntimeError("Authentication failed.\nTry again.")
        return super().info(path, **kwargs)

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("simple://", "memory://"))


fsspec.register_implementation("simple", Simple, clobber=True)


def test_a_file_goes_there_and_back_as_a_whole(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"picture")
    target = places.of("simple://photos/large/a.bin")
    places.upload(tmp_path / "a.bin", target)
    assert places.children(target.parent) == ([], ["a.bin"])
    with places.fetched(target) as local:
        assert local.read_bytes() == b"picture"


def test_what_a_file_system_raises_is_one_line():
    with pytest.raises(UserError, match=r"reached \(Authentication failed\..*\), simple://photos/locked") as told:
        places.is_dir(places.of("simple://photos/locked"))
    assert "\n" not in str(told.value)


def test_a_file_url_may_hold_what_urls_escape():
    assert places.of("file:///photos/a%20b.png") == Path("/photos/a b.png")


@pytest.mark.parametrize(
    "place, recursive, lies",
    [
        ("photos/sub", True, True),
        ("photos/sub/a.png", True, True),
        ("photos/sub/a.png", False, False),
        ("photos/a.png", False, True),
        ("photos2/a.png", True, False),
    ],
)
@pytest.mark.parametrize("root", ["", "s3://bucket/"])
def test_a_path_in_a_folder_that_is_given_too_is_refused(tmp_path, monkeypatch, root, place, recursive, lies):
    monkeypatch.chdir(tmp_path)
    assert cluster._lies_in(places.of(root + place), places.of(root + "photos"), recursive) == lies
    if not root and place.endswith(".png"):
        for name in (place, "photos/b.png"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()
        if lies:
            with pytest.raises(UserError, match=f"{place} lies in photos"):
                cluster._source([place, "photos"], None, print, label="x4", recursive=recursive)


def test_a_cluster_tells_what_it_leaves_out(tmp_path):
    for name in ("a.png", "a_x4.png", "clip.mp4"):
        (tmp_path / name).touch()
    rows = list(cluster._listed(lambda tell: plans.parts([tmp_path], label="x4", tell=tell), overwrite=False))
    assert [row["state"] for row in rows] == ["kept", "told", "told"]
    assert "clips" in rows[1]["line"] and "earlier results" in rows[2]["line"]


def test_the_manifest_lies_where_the_results_do():
    assert cluster._beside(["a.png"], "out.v2") == Path("out.v2/manifest")
    assert cluster._beside(["a.png"], "out/large.png") == Path("out/manifest")
