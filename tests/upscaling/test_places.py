"""Local and remote places, and file systems that only fsspec opens."""

from pathlib import Path

import pytest
from PIL import Image

from helpers.enlargers import Function
from srgan_tf.errors import UserError
from srgan_tf.images.options import FileOptions
from srgan_tf.upscaling import cluster, jobs, places, plans

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402


class Simple(MemoryFileSystem):
    """A file system that, like that of SFTP, cannot move recursively, and that raises its own exceptions."""

    protocol = "simple"
    store, pseudo_dirs = {}, [""]

    def mv(self, old, new):
        self.store[self._strip_protocol(new)] = self.store.pop(self._strip_protocol(old))

    def info(self, path, **kwargs):
        if "locked" in path:
            raise RuntimeError("Authentication failed.\nTry again.")
        return {**super().info(path, **kwargs), "mtime": 10**9}

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("simple://", "memory://"))


fsspec.register_implementation("simple", Simple, clobber=True)


def test_a_file_is_stored_and_fetched_as_a_whole(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"picture")
    target = places.of("simple://photos/large/a.bin")
    target.upload(tmp_path / "a.bin")
    assert target.parent.children() == ([], ["a.bin"])
    with target.fetched() as local:
        assert local.read_bytes() == b"picture"


def test_a_result_gets_the_time_of_its_source_in_a_bucket_when_asked(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    source, target = places.of("simple://photos/a.png"), places.of(tmp_path / "large.png")
    source.upload(tmp_path / "a.png")
    jobs.make(plans.Job(source, target), Function(), options=FileOptions(keep_times=True))
    assert target.stat().st_mtime == 10**9


def test_an_exception_of_a_file_system_is_one_line():
    with pytest.raises(UserError, match=r"simple://photos/locked: cannot be reached \(Authentication failed\.") as told:
        places.of("simple://photos/locked").kind()
    assert "\n" not in str(told.value)


def test_escapes_in_a_file_url_are_decoded():
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
def test_a_path_inside_another_given_folder_is_refused(tmp_path, monkeypatch, root, place, recursive, lies):
    monkeypatch.chdir(tmp_path)
    assert cluster._is_in(places.of(root + place), places.of(root + "photos"), recursive) == lies
    if not root and place.endswith(".png"):
        for name in (place, "photos/b.png"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()
        if lies:
            with pytest.raises(UserError, match=f"{place}: is in photos"):
                cluster._listing(plans.Request.of([place, "photos"], label="x4", recursive=recursive), None)


def test_a_cluster_reports_skipped_files(tmp_path):
    for name in ("a.png", "a_x4.png", "clip.mp4"):
        (tmp_path / name).touch()
    rows = list(cluster._listed(plans.Request.of([tmp_path], label="x4").parts, overwrite=False))
    assert [row["state"] for row in rows] == ["kept", "note", "note"]
    assert "videos" in rows[1]["line"] and "earlier results" in rows[2]["line"]


def test_the_manifest_is_beside_the_results():
    for output, folder in (("out.v2", "out.v2"), ("out/large.png", "out")):
        assert plans.Request.of(["a.png"], output, label="x4").result_folder() == Path(folder)


@pytest.mark.parametrize("url", ["s3://bucket/a//b.png", "s3://bucket/./a.png", "s3://bucket/a/../b.png", "s3://b//a"])
def test_a_url_whose_parts_a_file_system_would_drop_is_refused_instead_of_another_object_read(url):
    with pytest.raises(UserError, match="empty, '.' or '..' parts"):
        places.of(url)


def test_credentials_in_a_url_are_masked_wherever_it_is_printed():
    url = places.of("s3://KEY:SE/CRET@bucket/photo.png")
    row = plans.Job(url, url / "x")
    for text in (str(UserError(f"{url}: no such file.")), jobs.Made(None, None).line(row), jobs.kept_line(url)):
        assert "s3://***@bucket/photo.png" in text and "CRET" not in text
    assert str(UserError("http://host:8501/model@2 s3://bucket/icon@2x.png")).count("***") == 0
