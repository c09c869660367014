"""The command lines and their common parts: start-up, help, error messages and exit status.

A command is a module of this package with `USAGE` (a description with examples), its flags, `KEY_FLAGS` (the flags that
`--help` shows) and `main(argv)`. It may define its flags in its own `FLAGS = flags.FlagValues()`.
"""

import contextlib
import importlib.abc
import importlib.metadata
import importlib.util
import os
import platform
import sys
import textwrap

from absl import app, flags, logging

import srgan_tf
from srgan_tf.errors import Stopped, UserError, reason, stderr_held_back
from srgan_tf.networks import onednn


def start(main, argv=None):
    """Parse the flags of a command, run it and exit.

    `main` gets the arguments that are not flags, after the program's name, and returns the exit status. A `UserError`
    or a mistyped flag prints one line and exits with 2; Ctrl-C exits with 130; `--help` and `--version` with 0. Every
    other exception is a bug and shows its traceback. TensorFlow's start-up messages are hidden unless
    TF_CPP_MIN_LOG_LEVEL is set.

    Hyphens are accepted in the names of flags: `--data-dir` is `--data_dir`.

    Args:
        main: the function of a command's module.
        argv: the command line, `sys.argv` by default.

    Raises:
        SystemExit: always.
    """
    command = sys.modules[main.__module__]
    if sys.stdin is None:  # closed with `<&-`, as by some daemons
        sys.stdin = open(os.devnull)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed with `>&-`; the next open file must not get its number
            setattr(sys, name, open(os.devnull, "w"))
        # File names may contain characters that the terminal cannot show. Each line is flushed, for readers of a pipe,
        # and so that a closed pipe is noticed at once.
        getattr(sys, name).reconfigure(errors="backslashreplace", line_buffering=True)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # also for people whose keras.json has another one
    sys.meta_path.insert(0, _LoadedIn("keras", _usual_keras))
    onednn.enable()
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        sys.meta_path.insert(0, _LoadedIn("tensorflow", stderr_held_back))  # nothing else hides its first messages
    sys.stdout = output = _Output(sys.stdout)
    try:
        app.run(lambda arguments: _run(main, arguments), argv, flags_parser=lambda argv: _parse(command, argv))
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        output.discard()
        sys.exit(141)
    finally:
        sys.stdout = output.stream


class _Output:
    """Standard output whose failures, such as a full disk, do not end the work that is reported.

    stream: the stream itself.
    failure: the first `OSError`, or None. A closed pipe does not count.
    """

    def __init__(self, stream):
        self.stream, self.failure = stream, None

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        return self._tried(lambda: self.stream.write(text))

    def flush(self):
        self._tried(self.stream.flush)

    def discard(self):
        """Discard all further and all buffered output."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def _tried(self, action):
        try:
            return action()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failure = self.failure or error
            self.discard()
            return 0


def _run(main, arguments):
    if logging.get_verbosity() == logging.INFO:  # absl's default, which logs every variable of an export
        logging.set_verbosity(logging.WARNING)
    try:
        status = main(arguments)
        sys.stdout.flush()
        if failure := getattr(sys.stdout, "failure", None):
            print(f"error: standard output: cannot be written ({reason(failure)}). All else is done.", file=sys.stderr)
            return status or 1
        return status
    except UserError as error:
        return _complain(error)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parse(command, argv):
    """The arguments that are not flags. Exits for `--help`, `--version` and a mistyped flag."""
    values = _flag_values(command)
    argv = _underscored(argv, values)
    asked = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    if "--version" in asked:
        print(_versions(), flush=True)
        sys.exit(0)
    for full, names in enumerate([("-h", "-help", "--help", "--helpshort"), ("-helpfull", "--helpfull")]):
        if any(name in asked for name in names):
            print(_help(command, full), flush=True)
            sys.exit(0)
    try:
        return values(argv)
    except flags.Error as error:
        sys.exit(_complain(_flag_error(error)))


def _flag_error(error):
    """absl's message in the form of a `UserError`."""
    text = " ".join(str(error).split()).removeprefix("flag ").rstrip(".")
    if isinstance(error, flags.UnrecognizedFlagError):
        likely = text.partition("Did you mean: ")[2].rstrip(" ?")
        hint = f" Did you mean {' or '.join(f'--{name}' for name in likely.split(' or '))}?" if likely else ""
        return f"--{error.flagname}: unknown flag.{hint} See --help."
    return f"{text}. See --help."


def _underscored(argv, values):
    """The command line with underscores in the names of known flags: `--data-dir`, `--no-recursive`."""
    end = argv.index("--") if "--" in argv else len(argv)
    found = []
    for argument in argv[:end]:
        name, separator, value = argument.partition("=")
        known = name.removeprefix("--").replace("-", "_")
        if known.startswith("no_") and known not in values:
            known = known.replace("_", "", 1)
        if name.startswith("--") and "-" in name[2:] and (known in values or known.removeprefix("no") in values):
            argument = f"--{known}{separator}{value}"
        found.append(argument)
    return [*found, *argv[end:]]


def _versions():
    """One line for bug reports. The packages are not loaded."""
    found = [f"srgan_tf {srgan_tf.__version__}", f"Python {platform.python_version()}"]
    for name in ("tensorflow", "keras"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(found)


def _complain(error):
    print(f"error: {error}", file=sys.stderr)
    return 2


def _flag_values(command):
    """The flags of the command and those of absl as one set, with default values."""
    own = getattr(command, "FLAGS", flags.FLAGS)
    for name in own:
        own[name].unparse()  # for a second start in the same process
    every = own
    if own is not flags.FLAGS:
        every = flags.FlagValues()
        every.append_flag_values(own)
        every.append_flag_values(flags.FLAGS)
        own.mark_as_parsed()  # the sets share their flags, so parsing one sets all
        flags.FLAGS.mark_as_parsed()
    every.set_gnu_getopt(True)  # flags may follow other arguments
    return every


def _help(command, full):
    own = getattr(command, "FLAGS", flags.FLAGS)
    shown = [own[holder.name] for holder in command.KEY_FLAGS]
    rest = [flag for flag in own.flags_by_module_dict().get(command.__name__, []) if flag not in shown]
    parts = [command.USAGE.strip(), "\n".join(map(_describe, shown))]
    if full:
        parts += [
            "\n".join(map(_describe, rest)),
            "absl's flags are also accepted, such as --flagfile FILE, --verbosity N.",
        ]
    else:
        parts += ["--helpfull lists all flags, --version the versions."] if rest else []
    return "\n\n".join(part for part in parts if part)


def _describe(flag):
    """Two or more lines: the names of the flag, then its help text and default."""
    names = f"  --{flag.name}" if not flag.short_name else f"  -{flag.short_name}, --{flag.name}"
    text = " ".join(flag.help.split()).split("; repeat this option")[0]  # absl's additions, written shorter below
    if choices := getattr(flag.parser, "enum_values", None):
        text = f"{text.split('>: ', 1)[-1].rstrip('.')}. One of: {', '.join(choices)}."
    if flag.default not in (None, False, []):
        default = flag.default if isinstance(flag.default, list) else [flag.default]
        text += f" Default: {', '.join(map(str, default))}."
    return f"{names}\n" + textwrap.fill(text, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)


@contextlib.contextmanager
def _usual_keras():
    """Undo the other settings of keras.json, which the networks are not made for."""
    yield
    config = sys.modules["keras"].config
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")


class _LoadedIn(importlib.abc.MetaPathFinder):
    """Load a module in a context when it is first imported."""

    def __init__(self, name, context):
        self._name, self._context = name, context

    def find_spec(self, name, path=None, target=None):
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                with self._context():
                    load(module)

            spec.loader.exec_module = exec_module
        return spec
