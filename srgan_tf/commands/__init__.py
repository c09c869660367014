"""What the three programs share: how they start, explain themselves and end.

A command is a module of this package with `USAGE` (what it does, with an example), its flags, `KEY_FLAGS` (those
that `--help` shows) and `main(argv)`. Its flags may live in a `FLAGS = flags.FlagValues()` of its own.
"""

import importlib.abc
import importlib.util
import os
import sys
import textwrap

from absl import app, flags, logging

from srgan_tf import stderr
from srgan_tf.errors import UserError


def start(main, argv=None):
    """Parse the flags of a command, run it and leave Python.

    `main` gets the arguments that are no flags, the program's name first; what it returns is the exit status. A
    `UserError` and a mistyped flag print one line, status 2; Ctrl-C has status 130; `--help` has 0. Every other
    exception is a bug and shows its traceback. TensorFlow's start-up messages are held back unless
    TF_CPP_MIN_LOG_LEVEL is set.

    Args:
        main: function of a command's module.
        argv: the command line; `sys.argv` when None.

    Raises:
        SystemExit: always.
    """
    command = sys.modules[main.__module__]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as `>&-` does; what is opened later must not get its number
            setattr(sys, name, open(os.devnull, "w"))
        # Names may hold letters that the terminal has not; who reads a pipe sees each line when it is written, and
        # that nobody does is noticed then, not when Python ends.
        getattr(sys, name).reconfigure(errors="backslashreplace", line_buffering=True)
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        sys.meta_path.insert(0, _QuietTensorFlow())
    try:
        app.run(lambda arguments: _run(main, arguments), argv, flags_parser=lambda argv: _parse(command, argv))
    except BrokenPipeError:  # who read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _run(main, arguments):
    if logging.get_verbosity() == logging.INFO:  # absl's default, at which an export tells of every variable
        logging.set_verbosity(logging.WARNING)
    try:
        return main(arguments)
    except UserError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parse(command, argv):
    """The arguments that are no flags; ends the program for `--help` and for a mistyped flag."""
    asked = argv[1 : argv.index("--")] if "--" in argv else argv[1:]
    for full, names in enumerate([("-h", "-help", "--help", "--helpshort"), ("-helpfull", "--helpfull")]):
        if any(name in asked for name in names):
            print(_help(command, full), flush=True)
            sys.exit(0)
    try:
        return _flag_values(command)(argv)
    except flags.Error as error:
        sys.exit(_complain(f"{' '.join(str(error).split())}, see --help"))


def _complain(error):
    print(f"error: {error}", file=sys.stderr)
    return 2


def _flag_values(command):
    """The command's flags and absl's own as one set, at their defaults."""
    own = getattr(command, "FLAGS", flags.FLAGS)
    for name in own:
        own[name].unparse()  # a second start in one process
    every = own
    if own is not flags.FLAGS:
        every = flags.FlagValues()
        every.append_flag_values(own)
        every.append_flag_values(flags.FLAGS)
        own.mark_as_parsed()  # the sets share their flags: what is parsed into one is seen in all
        flags.FLAGS.mark_as_parsed()
    every.set_gnu_getopt(True)  # flags may follow pictures
    return every


def _help(command, full):
    own = getattr(command, "FLAGS", flags.FLAGS)
    shown = [own[holder.name] for holder in command.KEY_FLAGS]
    rest = [flag for flag in own.flags_by_module_dict().get(command.__name__, []) if flag not in shown]
    parts = [command.USAGE.strip(), "\n".join(map(_describe, shown))]
    if full:
        parts += ["\n".join(map(_describe, rest)), "absl's own flags work too, such as --flagfile FILE, --verbosity N."]
    else:
        parts += ["--helpfull shows all flags."] if rest else []
    return "\n\n".join(part for part in parts if part)


def _describe(flag):
    """Two lines or more: the flag's names, then what it does and its default."""
    names = f"  --{flag.name}" if not flag.short_name else f"  -{flag.short_name}, --{flag.name}"
    text = " ".join(flag.help.split()).split("; repeat this option")[0]  # absl's additions, said shorter below
    if choices := getattr(flag.parser, "enum_values", None):
        text = f"{text.split('>: ', 1)[-1].rstrip('.')}: {', '.join(choices)}."
    if flag.default not in (None, False, []):
        default = flag.default if isinstance(flag.default, list) else [flag.default]
        text += f" Default: {', '.join(map(str, default))}."
    return f"{names}\n" + textwrap.fill(text, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Imports TensorFlow, once, with stderr held back: no variable silences the first lines of its start-up."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                with stderr.held_back():
                    load(module)

            spec.loader.exec_module = exec_module
        return spec
