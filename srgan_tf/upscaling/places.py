"""Where pictures lie: paths of this machine, and URLs such as s3://bucket/photos, as `Path` behaves."""

import contextlib
import dataclasses
import functools
import os
import secrets
import shutil
import tempfile
import urllib.parse
from pathlib import Path, PurePosixPath

from srgan_tf.errors import UserError, one_line

_ONE_UPLOAD = ("s3", "gcs", "abfs")  # object stores: what is uploaded appears when the upload is complete


def of(text, flag="PATH"):
    """The place that a path or a URL means: a `Path` or a `Remote`; UserError that names `flag` where it is empty."""
    text = str(text)
    if not text:  # a variable that a script has not set, and to `Path` the current folder
        raise UserError(f"the name is empty, {flag}, give a picture or a folder")
    if text.startswith("file://"):
        return Path(urllib.parse.unquote(text.removeprefix("file://")))
    scheme, found, rest = text.partition("://")
    if not found:
        return Path(text)
    authority, _, path = rest.partition("/")
    return Remote(f"{scheme}://{authority}", PurePosixPath(path))


@dataclasses.dataclass(frozen=True, order=True)
class Remote:
    """A file or folder of an object store, or of what else pyarrow or fsspec opens.

    root: scheme and authority, such as `s3://bucket`.
    path: what follows, relative.
    """

    root: str
    path: PurePosixPath

    def __str__(self):
        return f"{self.root}/{self.path}" if self.path.parts else self.root

    def __truediv__(self, below):
        return Remote(self.root, self.path / below)

    @property
    def parent(self):
        return Remote(self.root, self.path.parent)

    name = property(lambda self: self.path.name)
    stem = property(lambda self: self.path.stem)
    suffix = property(lambda self: self.path.suffix)

    def relative_to(self, folder):
        return self.path.relative_to(folder.path)

    def is_dir(self):
        return not self.path.parts or self._info().type.name == "Directory"

    def exists(self):
        return self._info().type.name != "NotFound"

    def open(self):
        """pyarrow's file system and the path in it."""
        system, base = _system(self.root)
        return system, "/".join([base.rstrip("/"), *self.path.parts])

    def _info(self):
        system, path = self.open()
        with _told("the place cannot be reached", self, "check its name and your credentials"):
            return system.get_file_info(path)


def is_dir(place):
    """Whether a place is a folder; not if it cannot be looked at, which fails when it is used."""
    try:
        return place.is_dir()
    except OSError:  # such as a folder above that is locked, or a name that is too long
        return False


def exists(place):
    """Whether there is something at a place; not if it cannot be looked at."""
    try:
        return place.exists()
    except OSError:
        return False


def children(folder):
    """Names of the folders, links not followed, and of the files in a folder.

    Raises:
        UserError: when it cannot be read.
    """
    folders, files = [], []
    try:
        if isinstance(folder, Remote):
            from pyarrow import fs

            system, path = folder.open()
            with _told("the folder cannot be read", folder, "check its name and permissions"):
                for info in system.get_file_info(fs.FileSelector(path)):
                    if info.base_name:  # S3 may hold an empty object with the folder's name
                        (folders if info.type == fs.FileType.Directory else files).append(info.base_name)
        else:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not _is_dir(entry):
                        files.append(entry.name)
                    elif not entry.is_symlink():
                        folders.append(entry.name)
    except OSError as error:
        raise UserError(
            f"the folder cannot be read ({_reason(error)}), {folder}, check its name and permissions"
        ) from None
    return folders, files


def _is_dir(entry):
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: a file that cannot be read
        return False


def identity(place):
    """What is the same for all names of a place: links, and `a/../b`."""
    return str(place) if isinstance(place, Remote) else os.path.realpath(place)


@contextlib.contextmanager
def fetched(source):
    """A place's file on this machine, as long as the block lasts; what `UserError` says of it names the place."""
    if not isinstance(source, Remote):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
        local = Path(folder, f"source{source.suffix}")
        system, path = source.open()
        with _told("the file cannot be read", source, "check it and the way to it"):
            try:
                with system.open_input_stream(path, compression=None) as remote, open(local, "wb") as file:
                    shutil.copyfileobj(remote, file, 2**20)
            except FileNotFoundError:
                raise UserError(f"no such file, {source}, check its name") from None
        with _named(local, source):
            yield local


@contextlib.contextmanager
def stored(target):
    """A path on this machine to write a place's file to: it takes its place, as a whole, when the block ends.

    For a `Path` that is the path itself, which the block writes at once or not at all.
    """
    if not isinstance(target, Remote):
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
        local = Path(folder, f"result{target.suffix}")
        with _named(local, target):
            yield local
        upload(local, target)


def upload(local, target):
    """Copy a file of this machine to a `Remote`, where it appears as a whole or not at all.

    Raises:
        UserError: when it cannot be written.
    """
    import pyarrow

    system, path = target.open()
    with _told("the result cannot be written", target, "choose another place"):
        with pyarrow.memory_map(str(local)) as file:
            content = file.read_buffer()
        if system.type_name in _ONE_UPLOAD:
            _write(system, path, content)
        else:
            system.create_dir(path.rpartition("/")[0], recursive=True)
            part = f"{path.rpartition('/')[0]}/.srgan_tf-{secrets.token_hex(4)}.part"
            try:
                _write(system, part, content)
                _move(system, part, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    system.delete_file(part)
                raise


def _move(system, part, path):
    """pyarrow asks all of fsspec's to move recursively, and that of SFTP cannot be asked so."""
    if system.type_name.startswith("py::"):
        system.handler.fs.mv(part, path)
    else:
        system.move(part, path)


def _write(system, path, content):
    """In one call: an upload of which a part failed is not completed when its stream is closed."""
    with system.open_output_stream(path, compression=None) as remote:
        remote.write(content)


@functools.cache
def _system(root):
    """pyarrow's file system of a scheme and authority, its own or fsspec's, and the path that the root has in it."""
    try:
        import pyarrow
        from pyarrow import fs
    except ImportError:
        raise UserError(f"pyarrow is missing, {root}, pip install 'srgan_tf[cluster]'") from None
    try:
        advice = "check its name and your credentials"
        with _told("the place cannot be reached", root, advice, but=pyarrow.ArrowInvalid):
            return fs.FileSystem.from_uri(root)
    except pyarrow.ArrowInvalid:
        pass  # another scheme
    with _told("the place cannot be opened", root, advice):
        try:
            import fsspec

            system, base = fsspec.core.url_to_fs(root)
        except ImportError as error:  # it says which package knows the scheme
            raise UserError(f"the place cannot be opened ({error}), {root}, install what is missing") from None
        except ValueError as error:
            raise UserError(f"the place cannot be opened ({error}), {root}, give a folder, s3:// or gs://") from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), base


@contextlib.contextmanager
def _named(local, place):
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(local), str(place))) from None


@contextlib.contextmanager
def _told(problem, place, advice, *, but=UserError):
    """What a file system may fail with, which behind fsspec is anything, as a `UserError`."""
    try:
        yield
    except (UserError, but):
        raise
    except Exception as error:
        raise UserError(f"{problem} ({_reason(error)}), {place}, {advice}") from None


def _reason(error):
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)
