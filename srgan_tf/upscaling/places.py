"""Locations of pictures: `Local` paths and `Remote` URLs such as s3://bucket/photos, with a common interface.

Both have `name`, `stem`, `suffix`, `parent`, `parents` and `/` as in `Path`, and the methods defined in `Local`.
"""

import contextlib
import dataclasses
import errno
import functools
import glob
import os
import secrets
import shutil
import tempfile
import urllib.parse
from pathlib import Path, PurePosixPath

from srgan_tf import atomic
from srgan_tf.errors import UserError, one_line, reason

_ONE_UPLOAD = ("s3", "gcs", "abfs")  # object stores: an object appears when its upload is complete


def of(text: "str | os.PathLike | Local | Remote", flag: str = "PATH") -> "Local | Remote":
    """Return the place of a path or a URL.

    Args:
        text: a string, a `Path`, or a place, which is returned unchanged.
        flag: the flag that error messages name.

    Returns:
        A `Local` or a `Remote`.

    Raises:
        UserError: for an empty string, or a URL with empty, `.` or `..` parts, which file systems would remove.
    """
    if isinstance(text, (Local, Remote)):
        return text
    text = str(text)
    if not text:  # probably an unset variable in a script; `Path` would use the current folder
        raise UserError(f"{flag}: empty. Give a picture or a folder.")
    if text.startswith("file://"):
        return Local(urllib.parse.unquote(text.removeprefix("file://")))
    scheme, found, rest = text.partition("://")
    if not found:
        return Local(text)
    authority, _, path = rest.partition("/")
    if {"", ".", ".."} & set(path.rstrip("/").split("/")) and path.strip("/"):
        raise UserError(f"{text}: a URL with empty, '.' or '..' parts. Rename the object, or give its folder.")
    return Remote(f"{scheme}://{authority}", PurePosixPath(path))


class Local(type(Path())):  # Python before 3.12 does not let `Path` itself be subclassed
    """A path on this machine."""

    def kind(self) -> str | None:
        """ "folder", "file" (or anything else), or None if nothing exists or is accessible there."""
        try:
            return ("folder" if self.is_dir() else "file") if self.exists() else None
        except OSError:  # for example a parent folder without permission, or a name that is too long
            return None

    def check_name(self):
        """Raise UserError if no file can have this name, for example because it is too long."""
        try:
            os.stat(self)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise UserError(f"{self}: cannot be written ({reason(error)}). Choose another --output.") from None

    def normalised(self) -> "Local":
        """The same path, absolute and without `..`; links are not followed."""
        return Local(os.path.abspath(self))

    def identity(self):
        """A value that is equal for all names of a file: links, `a/../b` and, if case is ignored, a.png and A.PNG."""
        try:
            status = self.stat()
        except OSError:
            return os.path.realpath(self)
        return status.st_dev, status.st_ino

    def target_identity(self):
        """A value that is equal for all names of a file to be written; a hard link counts as a separate file."""
        return os.path.realpath(self)

    def matches(self):
        """The files that match a pattern such as `*.png`; the path itself if it exists or nothing matches."""
        if glob.has_magic(str(self)) and not os.path.lexists(self):
            return [Local(found) for found in sorted(glob.glob(str(self), recursive=True))] or [self]
        return [self]

    def children(self) -> tuple[list[str], list[str]]:
        """The names of the folders, including linked ones, and of the files in a folder.

        Raises:
            UserError: if the folder cannot be read.
        """
        folders, files = [], []
        try:
            with os.scandir(self) as entries:
                for entry in entries:
                    (folders if _is_folder(entry) else files).append(entry.name)
        except OSError as error:
            raise UserError(f"{self}: cannot be read ({reason(error)}). Check its name and permissions.") from None
        return folders, files

    def make_writable_folder(self):
        """Create the folder and its parents.

        Raises:
            UserError: if it cannot be created or written to.
        """
        try:
            self.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self}: the folder cannot be made ({reason(error)}). Choose another --output.") from None
        if not os.access(self, os.W_OK | os.X_OK):  # fail now, not after minutes
            raise UserError(f"{self}: no permission to write to the folder. Choose another --output.")

    def sweep(self):
        """Remove unfinished files of killed runs from the folder."""
        atomic.sweep(self)

    def claimed(self):
        """A context manager that claims the file before it is made, see `atomic.claimed`."""
        return atomic.claimed(self)

    @contextlib.contextmanager
    def fetched(self):
        """A context manager that yields a local copy of the file."""
        yield self

    @contextlib.contextmanager
    def stored(self):
        """A context manager that yields the local path to write to; the file must be written atomically."""
        yield self


@dataclasses.dataclass(frozen=True, order=True)
class Remote:
    """A file or folder of an object store, or of another file system that pyarrow or fsspec opens.

    root: scheme and authority, such as `s3://bucket`.
    path: the path relative to the root.
    """

    root: str
    path: PurePosixPath

    def __str__(self):
        return f"{self.root}/{self.path}" if self.path.parts else self.root

    def __truediv__(self, below):
        return Remote(self.root, self.path / below)

    name = property(lambda self: self.path.name)
    stem = property(lambda self: self.path.stem)
    suffix = property(lambda self: self.path.suffix)

    @property
    def parent(self):
        return Remote(self.root, self.path.parent)

    @property
    def parents(self):
        return [Remote(self.root, folder) for folder in self.path.parents]

    def kind(self):
        if not self.path.parts:
            return "folder"
        system, path = self.open()
        with _failures_named(self, "cannot be reached", "Check its name and your credentials."):
            return {"NotFound": None, "Directory": "folder"}.get(system.get_file_info(path).type.name, "file")

    def check_name(self):
        pass  # any name can exist

    def normalised(self):
        return self

    def identity(self):
        return str(self)

    target_identity = identity

    def matches(self):
        return [self]

    def children(self):
        from pyarrow import fs

        folders, files = [], []
        system, path = self.open()
        with _failures_named(self, "cannot be read", "Check its name and permissions."):
            for info in system.get_file_info(fs.FileSelector(path)):
                if info.base_name:  # S3 may contain an empty object with the folder's name
                    (folders if info.type == fs.FileType.Directory else files).append(info.base_name)
        return folders, files

    def make_writable_folder(self):
        pass  # created when a file is stored

    def sweep(self):
        pass  # other writers are unknown

    def claimed(self):
        return contextlib.nullcontext(True)  # there are no locks

    @contextlib.contextmanager
    def fetched(self):
        """See `Local.fetched`; a `UserError` in the block names the URL instead of the copy."""
        with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
            local = Local(folder, f"source{self.suffix}")
            system, path = self.open()
            with _failures_named(self, "cannot be read", "Check it and the connection."):
                try:
                    with system.open_input_stream(path, compression=None) as remote, open(local, "wb") as file:
                        shutil.copyfileobj(remote, file, 2**20)
                    if changed := system.get_file_info(path).mtime_ns:  # for --keep_times
                        os.utime(local, ns=(changed, changed))
                except FileNotFoundError:
                    raise UserError(f"{self}: no such file. Check its name.") from None
            with _renamed(local, self):
                yield local

    @contextlib.contextmanager
    def stored(self):
        """See `Local.stored`: the file is uploaded atomically when the block ends. Its bucket is checked before."""
        if _is_missing(self.root):
            raise UserError(f"{self.root}: no such bucket. Choose another --output.")
        with tempfile.TemporaryDirectory(prefix="srgan_tf-") as folder:
            local = Local(folder, f"result{self.suffix}")
            with _renamed(local, self):
                yield local
            self.upload(local)

    def upload(self, local: os.PathLike) -> None:
        """Copy a local file to this place atomically.

        Raises:
            UserError: if it cannot be written.
        """
        import pyarrow

        system, path = self.open()
        with _failures_named(self, "cannot be written", "Choose another place."):
            with pyarrow.memory_map(str(local)) as file:
                content = file.read_buffer()
            if system.type_name in _ONE_UPLOAD:
                _write(system, path, content)
                return
            system.create_dir(path.rpartition("/")[0], recursive=True)
            part = f"{path.rpartition('/')[0]}/.srgan_tf-{secrets.token_hex(4)}.part"
            try:
                _write(system, part, content)
                _move(system, part, path)
            except BaseException:
                with contextlib.suppress(Exception):
                    system.delete_file(part)
                raise

    def open(self):
        """Return the pyarrow file system and the path in it."""
        system, base = _system(self.root)
        return system, "/".join([base.rstrip("/"), *self.path.parts])


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # a circular link: treated as an unreadable file
        return False


def _move(system, part, path):
    """Rename a file. pyarrow requests a recursive move from fsspec, which SFTP does not support."""
    if system.type_name.startswith("py::"):
        system.handler.fs.mv(part, path)
    else:
        system.move(part, path)


def _write(system, path, content):
    """Write in one call, so that closing the stream does not complete an upload of which a part failed."""
    with system.open_output_stream(path, compression=None) as remote:
        remote.write(content)


@functools.cache
def _system(root):
    """The file system (pyarrow's own or fsspec's) of a scheme and authority, and the path of the root in it."""
    try:
        import pyarrow
        from pyarrow import fs
    except ImportError:
        raise UserError(f"{root}: pyarrow is missing. Run pip install pyarrow.") from None
    try:
        advice = "Check its name and your credentials."
        with _failures_named(root, "cannot be reached", advice, but=pyarrow.ArrowInvalid):
            return fs.FileSystem.from_uri(root)
    except pyarrow.ArrowInvalid:
        pass  # not a scheme of pyarrow
    with _failures_named(root, "cannot be opened", advice):
        try:
            import fsspec

            system, base = fsspec.core.url_to_fs(root)
        except ImportError as error:  # the message names the package for the scheme
            raise UserError(f"{root}: cannot be opened ({error}). Install what is missing.") from None
        except ValueError as error:
            raise UserError(f"{root}: cannot be opened ({error}). Give a folder, s3:// or gs://.") from None
    return fs.PyFileSystem(fs.FSSpecHandler(system)), base


@functools.cache
def _is_missing(root):
    """Whether an object store has no bucket of this name. One without permission to look may accept files."""
    system, base = _system(root)
    try:
        return system.type_name in _ONE_UPLOAD and system.get_file_info(base).type.name == "NotFound"
    except OSError:
        return False


@contextlib.contextmanager
def _renamed(local, place):
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(one_line(local), str(place))) from None


@contextlib.contextmanager
def _failures_named(place, problem, advice, *, but=UserError):
    """Convert errors of a file system into a `UserError`; fsspec may raise any exception type."""
    try:
        yield
    except (UserError, but):
        raise
    except Exception as error:
        raise UserError(f"{place}: {problem} ({reason(error)}). {advice}") from None
