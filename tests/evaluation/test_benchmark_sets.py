"""Benchmark sets are found, downloaded and read, and every fault in them is reported in one line."""

import contextlib
import errno
import hashlib
import http.server
import math
import os
import threading

import numpy as np
import pytest
import urllib3
from PIL import Image

from srgan_tf.errors import UserError
from srgan_tf.evaluation import benchmark_sets
from srgan_tf.evaluation import download as downloads
from srgan_tf.evaluation.metrics import lr_consistency
from srgan_tf.resize import imresize


@pytest.fixture
def data_dir(tmp_path):
    """A Set5 of five small pictures, the second one grey."""
    write_set5(tmp_path)
    return tmp_path


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A server with a Set5 whose checksums are known; `release.answer[name]` changes what it sends."""
    folder = tmp_path / "release"
    write_set5(folder)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}
    sums = {place: hashlib.sha256(content).hexdigest() for place, content in files.items()}
    for module in (benchmark_sets, downloads):
        monkeypatch.setattr(module, "released_sums", lambda: sums)
    monkeypatch.setenv("no_proxy", "*")
    with Release(files) as server:
        yield server


def test_pairs_come_in_order_and_keep_their_mode(data_dir):
    pairs = benchmark_sets.load_pairs("set5", data_dir)
    assert [p.name for p in pairs] == ["img_001", "img_002", "img_003", "img_004", "img_005"]
    shapes = [tuple(picture.shape for picture in benchmark_sets.read_pair(p)) for p in pairs]
    assert shapes[0] == ((48, 40, 3), (12, 10, 3))
    assert shapes[1] == ((48, 40), (12, 10))


def test_a_missing_set_is_reported_with_its_expected_folder(tmp_path):
    message = user_error(benchmark_sets.load_pairs, "bsd100", tmp_path)
    assert "BSD100" in message and str(tmp_path / "BSD100" / "image_SRF_4") in message and "--data_dir" in message


@pytest.mark.parametrize("kind", ["HR", "LR"])
def test_a_missing_counterpart_is_named(data_dir, kind):
    path = path_of(data_dir, 3, kind)
    path.unlink()
    message = user_error(benchmark_sets.load_pairs, "set5", data_dir)
    assert str(path) in message and "1 of the 10 files" in message


@pytest.mark.parametrize("kind", ["HR", "LR"])
@pytest.mark.parametrize("harm", ["cut", "text", "empty", "flipped"])
def test_a_corrupt_file_is_named(data_dir, kind, harm):
    path = path_of(data_dir, 4, kind)
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "text": b"<html>not found</html>",
            "empty": b"",
            "flipped": content[:middle] + bytes(255 - b for b in content[middle:]),
        }[harm]
    )
    assert str(path) in user_error(benchmark_sets.read_pair, benchmark_sets.load_pairs("set5", data_dir)[3])


def test_a_wrong_size_is_named_with_both_sizes(data_dir):
    path = path_of(data_dir, 5, "HR")
    Image.fromarray(np.zeros((48, 44, 3), np.uint8)).save(path)
    message = user_error(benchmark_sets.read_pair, benchmark_sets.load_pairs("set5", data_dir)[4])
    assert str(path) in message and "44 x 48" in message and "40 x 48" in message


@pytest.mark.parametrize(
    "pixels, said",
    [
        (np.zeros((48, 40), np.uint16), "8 bits"),
        (np.zeros((48, 40, 4), np.uint8), "transparent"),
        (np.zeros((16, 40, 3), np.uint8), "too small, fewer than 20 x 20 pixels"),
    ],
)
def test_a_picture_that_cannot_be_scored_is_named(data_dir, pixels, said):
    path = path_of(data_dir, 1, "HR")
    Image.fromarray(pixels).save(path)
    message = user_error(benchmark_sets.read_pair, benchmark_sets.load_pairs("set5", data_dir)[0])
    assert str(path) in message and said in message


def test_a_custom_folder_is_a_set_with_its_name_and_lr_made_by_imresize(tmp_path):
    hr = picture(1)
    save(tmp_path / "flowers" / "HR" / "rose.png", np.pad(hr, ((0, 3), (0, 2), (0, 0))))
    save(tmp_path / "flowers" / "HR" / "aster.bmp", hr)
    name, pairs = benchmark_sets.load_folder(tmp_path / "flowers")
    assert name == "flowers" and [p.name for p in pairs] == ["aster", "rose"]
    for pair in pairs:  # cropped to a multiple of the scale, below and to the right
        found_hr, found_lr = benchmark_sets.read_pair(pair)
        np.testing.assert_array_equal(found_hr, hr)
        np.testing.assert_array_equal(found_lr, imresize(hr, 1 / 4, edge="repeat"))
        assert lr_consistency(found_lr, found_hr) == math.inf


@pytest.mark.parametrize("lr_name", ["rose.png", "rose.bmp", "rosex4.png", "rose_x4.png", "rose_LR.png"])
def test_a_custom_folder_may_contain_its_lr(tmp_path, lr_name):
    save(tmp_path / "HR" / "rose.png", picture(1))
    save(tmp_path / "LR" / lr_name, np.full((12, 10, 3), 7, np.uint8))
    _, lr = benchmark_sets.read_pair(benchmark_sets.load_folder(tmp_path)[1][0])
    assert (lr == 7).all()


def test_two_lr_files_of_one_picture_are_named(tmp_path):
    for path in (tmp_path / "HR" / "rose.png", tmp_path / "LR" / "rose.png", tmp_path / "LR" / "rosex4.png"):
        save(path, picture(1))
    message = user_error(benchmark_sets.load_folder, tmp_path)
    assert message.startswith(str(tmp_path / "LR" / "rose.png")) and "as does rosex4.png. Remove one" in message


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    save(tmp_path / "HR" / "rose.png", picture(1))

    def refuse(folder):  # root, who may run the tests, may read every folder
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(benchmark_sets.pathlib.Path, "iterdir", refuse)
    assert "cannot be read (Permission denied)" in user_error(benchmark_sets.load_folder, tmp_path)


@pytest.mark.parametrize("lonely, other", [("HR", "LR"), ("LR", "HR")])
def test_a_picture_without_a_counterpart_is_named(tmp_path, lonely, other):
    for kind in ("HR", "LR"):
        save(tmp_path / kind / "rose.png", picture(1))
    save(tmp_path / lonely / "tulip.png", picture(2))
    message = user_error(benchmark_sets.load_folder, tmp_path)
    assert str(tmp_path / lonely / "tulip.png") in message and f"no {other} image" in message


def test_an_empty_set_is_named(tmp_path):
    (tmp_path / "HR").mkdir()
    assert str(tmp_path / "HR") in user_error(benchmark_sets.load_folder, tmp_path)


@pytest.mark.parametrize("name", ["set5", "Set5", "BSD100"])
def test_a_folder_with_the_name_of_a_benchmark_is_not_confused_with_it(tmp_path, name):
    save(tmp_path / name / "HR" / "rose.png", picture(1))
    assert benchmark_sets.load_folder(tmp_path / name)[0] == f"{name} (folder)"


def test_a_set_is_downloaded_completely_and_only_once(release, tmp_path):
    download(release, tmp_path / "cache")
    for place, content in release.files.items():
        assert (tmp_path / "cache" / place).read_bytes() == content
    assert len(list((tmp_path / "cache").rglob("*.*"))) == 10  # no other files
    release.asked.clear()
    download(release, tmp_path / "cache")
    assert release.asked == []


@pytest.mark.parametrize("known", [True, False])
def test_only_a_file_that_changed_is_downloaded_again(release, tmp_path, monkeypatch, known):
    if not known:
        monkeypatch.setattr(downloads, "released_sums", dict)
    download(release, tmp_path / "cache")
    path_of(tmp_path / "cache", 2, "HR").write_bytes(b"something else")
    release.asked.clear()
    download(release, tmp_path / "cache")
    assert release.asked == ["Set5/image_SRF_4/img_002_SRF_4_HR.png"]
    assert path_of(tmp_path / "cache", 2, "HR").read_bytes() == release.files[release.asked[0]]


def test_a_file_in_the_cache_that_cannot_be_read_is_named(release, tmp_path, monkeypatch):
    def refuse(path):  # root, who may run the tests, may read every file
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(benchmark_sets.pathlib.Path, "read_bytes", refuse)
    message = user_error(download, release, tmp_path)
    assert "cannot be read (Permission denied)" in message and "XDG_CACHE_HOME" in message


def test_a_cache_that_cannot_be_created_is_one_line_without_a_bar(release, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert "cannot be written" in user_error(download, release, tmp_path / "taken")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "url", ["foo", "file:///x", "ftp://example.org", "http://", "http://a..b/", "http://a:b/", "http://[::1/"]
)
def test_what_is_no_web_address_is_named_at_once(tmp_path, url, monkeypatch):
    monkeypatch.setattr(downloads.time, "sleep", pytest.fail)
    message = user_error(lambda: downloads.download("set5", tmp_path, url=url))
    assert message.startswith(f"--benchmarks_url {url}: not a web address")


def test_a_redirection_to_an_invalid_address_is_one_line(release, tmp_path, monkeypatch):
    def get(url, timeout):
        raise urllib3.exceptions.LocationParseError("a..b, label empty.")

    monkeypatch.setattr(downloads.requests, "get", get)
    assert "label empty. Set5 cannot be downloaded" in user_error(download, release, tmp_path)


def test_a_folder_may_hold_a_set_of_ones_own_beside_a_benchmark_set(data_dir, monkeypatch):
    save(data_dir / "HR" / "rose.png", picture(1))
    monkeypatch.setattr(downloads, "download", pytest.fail)
    sets = downloads.load_sets(["set5"], data_dir)
    assert sets["set5"] == benchmark_sets.load_pairs("set5", data_dir) and len(sets) == 2


def test_a_truncated_file_is_downloaded_again(release, tmp_path):
    place = "Set5/image_SRF_4/img_003_SRF_4_HR.png"
    release.answer[place] = ["truncated"]
    download(release, tmp_path / "cache")
    assert (tmp_path / "cache" / place).read_bytes() == release.files[place]
    assert release.asked.count(place) == 2


def test_a_stalled_connection_is_closed_and_the_file_requested_again(release, tmp_path):
    place = "Set5/image_SRF_4/img_003_SRF_4_HR.png"
    release.answer[place] = ["stuck"]
    download(release, tmp_path / "cache", timeout=1)
    assert (tmp_path / "cache" / place).read_bytes() == release.files[place]
    assert release.asked.count(place) > 1


def test_an_interrupted_download_keeps_complete_files_and_leaves_no_partial_ones(release, tmp_path):
    last = "Set5/image_SRF_4/img_005_SRF_4_LR.png"
    release.answer[last] = ["missing"]
    user_error(download, release, tmp_path / "cache")
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept and all(path.read_bytes() == release.files[benchmark_sets.release_path(path)] for path in kept)
    release.asked.clear()
    download(release, tmp_path / "cache")
    assert sorted(release.asked) == sorted(release.files.keys() - map(benchmark_sets.release_path, kept))


def test_a_file_that_is_damaged_at_first_is_accepted_once_it_is_correct(release, tmp_path):
    place = "Set5/image_SRF_4/img_001_SRF_4_LR.png"
    release.answer[place] = ["broken", "busy"]
    download(release, tmp_path / "cache")
    assert (tmp_path / "cache" / place).read_bytes() == release.files[place]


@pytest.mark.parametrize("harm", ["busy", "crowded", "late"])
def test_temporary_errors_of_a_server_are_retried(release, tmp_path, harm):
    place = "Set5/image_SRF_4/img_005_SRF_4_LR.png"
    release.answer[place] = [harm] * 3
    download(release, tmp_path / "cache")
    assert (tmp_path / "cache" / place).read_bytes() == release.files[place]


def test_a_server_that_is_briefly_unreachable_is_retried(release, tmp_path, monkeypatch):
    release.close()
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: release.open())
    download(release, tmp_path / "cache")
    assert all((tmp_path / "cache" / place).read_bytes() == content for place, content in release.files.items())


def test_pauses_between_attempts_grow(release, tmp_path, monkeypatch):
    place = "Set5/image_SRF_4/img_001_SRF_4_LR.png"
    release.answer[place] = ["crowded"] * 9
    pauses = []
    monkeypatch.setattr(downloads.time, "sleep", pauses.append)
    user_error(lambda: downloads.download("set5", tmp_path / "cache", url=release.url, pause=3))
    assert pauses == [3, 6, 12]


def test_a_missing_file_is_not_requested_again(release, tmp_path):
    place = "Set5/image_SRF_4/img_001_SRF_4_LR.png"
    release.answer[place] = ["missing"] * 9
    user_error(download, release, tmp_path / "cache")
    assert release.asked.count(place) == 1


@pytest.mark.parametrize("harm, said", [("broken", "SHA-256"), ("missing", "404"), ("busy", "503"), ("crowded", "429")])
def test_a_file_that_stays_wrong_is_named_and_never_written(release, tmp_path, harm, said):
    place = "Set5/image_SRF_4/img_001_SRF_4_LR.png"
    release.answer[place] = [harm] * 9
    message = user_error(download, release, tmp_path / "cache")
    assert place in message and said in message and "Copy" in message and "--data_dir" in message
    assert not (tmp_path / "cache" / place).exists()


def test_without_a_network_one_line_says_where_to_copy_the_files(release, tmp_path):
    release.close()
    message = user_error(download, release, tmp_path / "cache")
    assert "github.com/jbhuang0604/SelfExSR" in message
    assert str(tmp_path / "cache" / "Set5" / "image_SRF_4") in message


def test_files_without_known_checksums_must_be_pictures(release, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "released_sums", dict)
    place = "Set5/image_SRF_4/img_004_SRF_4_HR.png"
    release.answer[place] = ["broken"]
    download(release, tmp_path / "cache")
    assert (tmp_path / "cache" / place).read_bytes() == release.files[place]
    release.answer[place] = ["broken"] * 9
    assert "not a readable image" in user_error(download, release, tmp_path / "other")


def test_a_scale_that_is_not_released_is_refused(tmp_path):
    assert "--scale 8" in user_error(downloads.download, "set5", tmp_path, 8)


def test_every_file_of_the_paper_has_a_checksum_and_urban100_has_none():
    sums = benchmark_sets.released_sums()
    assert len(sums) == 2 * (5 + 14 + 100) and not any(place.startswith("Urban100") for place in sums)
    assert all(len(digest) == 64 and int(digest, 16) for digest in sums.values())


def test_the_checksums_are_those_of_the_released_files(benchmarks_folder):
    for name in ("set5", "set14", "bsd100"):
        found = benchmark_sets.fingerprint(benchmark_sets.load_pairs(name, benchmarks_folder))
        assert found["released"] is True and found["pictures"] == benchmark_sets.BENCHMARKS[name][1]


def test_a_fingerprint_changes_with_the_files(data_dir):
    before = benchmark_sets.fingerprint(benchmark_sets.load_pairs("set5", data_dir))
    assert before["released"] is False  # the checksums are of other files
    save(path_of(data_dir, 5, "LR"), np.zeros((12, 10, 3), np.uint8))
    assert benchmark_sets.fingerprint(benchmark_sets.load_pairs("set5", data_dir))["sha256"] != before["sha256"]


@pytest.fixture(name="benchmarks_folder")
def _benchmarks_folder(request):
    return request.getfixturevalue("benchmarks")


class Release:
    """A local server of files with errors on request: `answer[place]` lists those of the next requests for a file."""

    REFUSALS = {"missing": 404, "busy": 503, "crowded": 429, "late": 408}

    def __init__(self, files):
        self.files, self.answer, self.asked = files, {}, []
        self._port, self._server, self._thread, self._lock = 0, None, None, threading.Lock()

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    def open(self):
        """Start to answer, or start again at the same port."""
        with self._lock:
            if self._server is None:
                self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
                self._server.daemon_threads = True
                self._port = self._server.server_address[1]
                self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
                self._thread.start()

    def close(self):
        with self._lock:
            if self._server is not None:
                self._server.shutdown()
                self._thread.join()
                self._server.server_close()
                self._server = None

    def _handler(self):
        release = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                release.respond(self, self.path[1:])

            def log_message(self, *_):
                pass

        return Handler

    def respond(self, handler, place):
        self.asked.append(place)
        harm = self.answer[place].pop(0) if self.answer.get(place) else None
        if harm in self.REFUSALS:
            return handler.send_error(self.REFUSALS[harm])
        content = self.files[place]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        sent = {
            "truncated": content[: len(content) // 2],
            "stuck": content[: len(content) // 2],
            "broken": bytes(255 - b for b in content),
        }.get(harm, content)
        with contextlib.suppress(ConnectionError):
            handler.wfile.write(sent)
            handler.wfile.flush()
            if harm == "stuck":
                handler.rfile.read(1)  # no more data until the client closes the connection


def download(release, folder, timeout=30):
    downloads.download("set5", folder, url=release.url, timeout=timeout, pause=0)


def write_set5(folder):
    for number in range(1, 6):
        hr = picture(number)
        hr = hr[..., 0] if number == 2 else hr
        save(path_of(folder, number, "HR"), hr)
        save(path_of(folder, number, "LR"), imresize(hr, 1 / 4, edge="repeat"))


def picture(seed):
    small = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    return imresize(small, size=(48, 40))


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def path_of(data_dir, number, kind):
    return data_dir / "Set5" / "image_SRF_4" / f"img_{number:03}_SRF_4_{kind}.png"


def user_error(function, *arguments):
    """The message of the UserError that a call raises; one line."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
