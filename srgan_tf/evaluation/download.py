"""The benchmark sets brought from their public release, file by file."""

import concurrent.futures
import http.client
import os
import sys
import time
import urllib.error
import urllib.request

from tqdm import tqdm

from srgan_tf.errors import UserError
from srgan_tf.evaluation.benchmark_sets import BENCHMARKS, place, released_pairs, released_sums, sha256
from srgan_tf.images import reading

REPOSITORY = "github.com/jbhuang0604/SelfExSR"
RELEASE = "https://raw.githubusercontent.com/jbhuang0604/SelfExSR/8f6dd8c1d20cb7e8792a7177b4f6fd677633f598/data"
RELEASED_SCALES = (2, 4)
_ATTEMPTS = 4  # each goes on where the one before stopped
_CONNECTIONS = 4
_BUSY = (408, 429)  # a request that took too long, too many of them: as a server's own errors, for now


def download(name, data_dir, scale=4, *, url=RELEASE, timeout=30, pause=1):
    """Bring a benchmark set into a folder, file by file; what is there and right is kept.

    A file appears under its name only when it is whole: its SHA-256 is that of `released_sums`; Urban100 and scale
    2, for which no sums are known, are pinned by the release's commit alone and must be pictures that can be
    read. A download that was interrupted goes on where it stopped; what a server or the way to it may mend by itself
    is tried again. A bar on stderr shows the progress.

    Args:
        name, data_dir, scale: as for `load_pairs`.
        url: where the sets' folders are.
        timeout: seconds without a byte after which a connection is given up and tried again.
        pause: seconds before a file is tried again, twice as long each time.

    Raises:
        UserError: when a file cannot be had; it names the file, and says how to put the set there by hand.
    """
    title, _ = BENCHMARKS[name]
    if scale not in RELEASED_SCALES:
        raise UserError(
            f"{title} is released for scales 2 and 4, --scale {scale}, give pictures of your own with "
            "--data_dir FOLDER and FOLDER/HR"
        )
    files = [path for pair in released_pairs(name, data_dir, scale) for path in (pair.hr_path, pair.lr_path)]
    sums = {path: released_sums().get(place(path)) for path in files}
    missing = [path for path in files if not (path.is_file() and sums[path] in (None, sha256(path)))]
    if not missing:
        return

    def fetch(path):
        _fetch(f"{url}/{place(path)}", path, sums[path], timeout, pause)

    try:
        missing[0].parent.mkdir(parents=True, exist_ok=True)
        with (
            concurrent.futures.ThreadPoolExecutor(_CONNECTIONS) as pool,
            tqdm(
                total=len(missing),
                desc=f"downloading {title}",
                unit=" files",
                mininterval=0.1 if sys.stderr.isatty() else 30,
            ) as bar,
        ):
            try:
                for done in concurrent.futures.as_completed([pool.submit(fetch, path) for path in missing]):
                    done.result()
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except _NotHad as error:
        by_hand = f"data/{title}/image_SRF_{scale} of {REPOSITORY} at {missing[0].parent}"
        raise UserError(
            f"{title} cannot be downloaded, {error}, put {by_hand} by hand or give the folder that holds "
            f"{title}/ with --data_dir"
        ) from None
    except OSError as error:
        raise UserError(
            f"{title} cannot be kept ({error.strerror}), {error.filename}, name a folder that is yours "
            "with XDG_CACHE_HOME"
        ) from error


class _NotHad(Exception):
    """A file that could not be downloaded: which, and why."""


def _fetch(url, path, digest, timeout, pause):
    part = path.with_name(f".{path.name}.part")
    reason = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            _receive(url, part, timeout)
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            if error.code < 500 and error.code not in (*_BUSY, 416):
                raise _NotHad(f"{url} ({reason})") from None
            if error.code != 416:  # there is nothing after what is here: it is whole, or of something else
                continue
        except urllib.error.URLError as error:  # no such host, no way to it: for good or for a moment
            reason = error.reason
            continue
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            continue
        wrong = _wrong(part, digest)
        if not wrong:
            os.replace(part, path)
            return
        part.unlink(missing_ok=True)
        reason = wrong
    raise _NotHad(f"{url} ({reason})")


def _receive(url, part, timeout):
    """Add to a file what is missing of it."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "srgan_tf"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=timeout) as response:
        expected, received = response.headers.get("Content-Length"), 0
        with open(part, "ab" if response.status == 206 else "wb") as file:
            while block := response.read1(1 << 16):  # what has come is kept, even if no more comes
                received += file.write(block)
        if expected is not None and received < int(expected):
            raise http.client.IncompleteRead(b"", int(expected) - received)


def _wrong(part, digest):
    """Why a file is not what was asked for; None when it is."""
    if digest is not None:
        return None if part.is_file() and sha256(part) == digest else "its SHA-256 is not that of the release"
    try:
        reading.read(part)
    except UserError:
        return "it is no picture that can be read"
    return None
