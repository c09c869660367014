"""Downloads the benchmark sets from their public release."""

import concurrent.futures
import io
import sys
import time
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

import requests
import urllib3
from PIL import Image

from srgan_tf import atomic, bars
from srgan_tf.errors import UserError
from srgan_tf.evaluation.benchmark_sets import (
    BENCHMARKS,
    Pair,
    default_data_dir,
    digest_of,
    load_folder,
    load_pairs,
    release_path,
    released_pairs,
    released_sums,
)
from srgan_tf.images import folders

REPOSITORY = "github.com/jbhuang0604/SelfExSR"
RELEASE = "https://raw.githubusercontent.com/jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/data"
RELEASED_SCALES = (2, 4)
ATTEMPTS = 4
CONNECTIONS = 4
TEMPORARY = (408, 429)  # status codes to retry, in addition to 500 and above: timeout, too many requests


def download(
    name: str, data_dir: str | Path, scale: int = 4, *, url: str = RELEASE, timeout: float = 30, pause: float = 1
) -> None:
    """Download a benchmark set, file by file; existing correct files are kept.

    A file appears only when it is complete and verified: its SHA-256 must be that of `released_sums`. Urban100 and
    scale 2, whose checksums are not known, come from a fixed commit of the release and must be readable images.
    Temporary errors are retried. A progress bar is shown on stderr.

    Args:
        name, data_dir, scale: as for `load_pairs`.
        url: address of the folder that contains the sets' folders.
        timeout: seconds without data after which a connection is closed.
        pause: seconds before the second attempt; the pause doubles with each attempt.

    Raises:
        UserError: for a scale that is not released, and for a file that cannot be downloaded or written.
    """
    title, _ = BENCHMARKS[name]
    if scale not in RELEASED_SCALES:
        raise UserError(
            f"--scale {scale}: {title} is released for scales 2 and 4 only. "
            "Score your own images with --data_dir FOLDER, which holds them in HR/."
        )
    paths = [path for pair in released_pairs(name, data_dir, scale) for path in (pair.hr_path, pair.lr_path)]
    sums = {path: released_sums().get(release_path(path)) for path in paths}
    missing = [path for path in paths if not _is_intact(path, sums[path])]
    if not missing:
        return
    _check_address(url)

    def fetch(path):
        content = _fetch(f"{url}/{release_path(path)}", sums[path], timeout, pause)
        with atomic.whole_file(path) as file:
            file.write(content)

    try:
        missing[0].parent.mkdir(parents=True, exist_ok=True)
        atomic.sweep(missing[0].parent)
        bar = bars.bar(  # after what may fail at once: an error would be on the line of the bar
            total=len(missing),
            desc=f"downloading {title}",
            unit=" files",
            mininterval=0.1 if sys.stderr.isatty() else 30,
        )
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool, bar:
            try:
                for done in concurrent.futures.as_completed([pool.submit(fetch, path) for path in missing]):
                    done.result()
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except _Failed as error:
        raise UserError(
            f"{error}. {title} cannot be downloaded. Copy data/{title}/image_SRF_{scale} of {REPOSITORY} to "
            f"{missing[0].parent}, or give the folder that holds {title}/ with --data_dir."
        ) from None
    except OSError as error:
        file = error.filename or missing[0].parent
        raise UserError(
            f"{file}: cannot be written ({error.strerror}). Set XDG_CACHE_HOME to a folder you own."
        ) from error


def load_sets(
    names: Iterable[str], data_dir: str | Path | None = None, scale: int = 4, *, url: str = RELEASE
) -> dict[str, list[Pair]]:
    """Find the pairs of benchmark sets, and of the user's own set, by name.

    Args:
        names: keys of `BENCHMARKS`. They are downloaded unless `data_dir` is their folder.
        data_dir: the folder of the sets' folders, or a set of the user's own, a folder with `HR/`, or both.
        scale: as for `load_pairs`.
        url: as for `download`.

    Raises:
        UserError: as `download`, `load_pairs` and `load_folder`.
    """
    own = data_dir is not None and folders.is_folder(Path(data_dir) / "HR")
    sets = dict([load_folder(data_dir, scale)]) if own else {}
    for name in names:
        folder = data_dir
        if not folder or own and not folders.is_folder(Path(data_dir) / BENCHMARKS[name][0]):
            folder = default_data_dir()
            download(name, folder, scale, url=url)
        sets[name] = load_pairs(name, folder, scale)
    return sets


class _Failed(Exception):
    """A file that cannot be downloaded: its address and the reason."""


def _fetch(url, digest, timeout, pause):
    """The content of a file; verified by its SHA-256, or as an image where `digest` is None."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            response = requests.get(url, timeout=timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            # permanent or not: a wrong host name, a lost connection, a redirection to an invalid address
            reason = _cause(error)
            continue
        reason = f"{response.status_code} {response.reason}"
        if response.ok:
            reason = _defect(response.content, digest)
            if reason is None:
                return response.content
        elif response.status_code < 500 and response.status_code not in TEMPORARY:
            break
    raise _Failed(f"{url}: {reason.rstrip('.?! ')}")


def _cause(error):
    """The original error: requests and urllib3 wrap it in long messages."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__


def _defect(content, digest):
    if digest is not None:
        return None if digest_of(content) == digest else "its SHA-256 is not that of the release"
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception:  # Pillow's plugins raise many types for damaged files
        return "not a readable image"
    return None


def _is_intact(path, digest):
    """Whether a file exists and is complete."""
    try:
        return _defect(path.read_bytes(), digest) is None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Set XDG_CACHE_HOME to a folder you own.") from None


def _check_address(url):
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.scheme in ("http", "https") and (parts.hostname or "").encode("idna") and parts.port != 0
    except ValueError:  # such as a port that is no number, or an empty part of the host's name
        valid = False
    if not valid:
        raise UserError(f"--benchmarks_url {url}: not a web address. Give one that begins with https:// or http://.")
