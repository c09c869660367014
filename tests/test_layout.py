"""Packages import from left to right only, and what must start fast loads nothing heavy."""

import ast
import configparser
import graphlib
import subprocess
import sys

import pytest

from helpers import ROOT

PACKAGE = ROOT / "srgan_tf"
ORDER = [  # a module imports from its own package and from those to its left; of one entry, neither imports the other
    {"errors"},
    {"atomic", "bars"},
    {"resize"},
    {"networks", "images"},
    {"saved_models"},
    {"upscaling"},
    {"evaluation"},
    {"training"},
    {"qr"},
    {"commands"},
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def named(path):
    """The module's name in parts, without `srgan_tf`: ("images", "png")."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path):
    """The modules of srgan_tf that a module imports, anywhere in it, in parts."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {module_of(name) for name in names if name.split(".")[0] == "srgan_tf"}
    return found


def module_of(name):
    """The longest beginning of a dotted name that is a module: without classes and functions."""
    parts = name.split(".")[1:]
    while parts and not (PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").is_file()):
        parts.pop()
    return tuple(parts)


def level(module):
    return next(i for i, packages in enumerate(ORDER) if module[0] in packages)


def test_the_top_level_has_few_modules():
    assert len(list(PACKAGE.glob("*.py"))) <= 5


def test_a_module_imports_from_its_own_package_and_from_those_to_its_left():
    for path in MODULES:
        module = named(path)
        if not module:  # srgan_tf itself names what is public
            continue
        for other in imports(path):
            if not other:
                assert module[0] == "commands", f"{path} imports srgan_tf, which only commands do, for its version"
                continue
            assert other[0] == module[0] or level(other) < level(module), f"{path} imports {'.'.join(other)}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {named(path): imports(path) - {named(path), ()} for path in MODULES if named(path)}
    graphlib.TopologicalSorter(graph).prepare()


def test_packages_import_nothing():
    for path in PACKAGE.glob("*/__init__.py"):
        if path.parent.name not in ("commands", "pages"):
            assert not imports(path) and "import" not in path.read_text(encoding="utf-8").split('"""')[2], path


def test_the_wheel_holds_every_package():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(config["options"]["packages"].split()) - {"srgan_tf.weights"}  # of a folder beside it
    assert listed == {".".join(["srgan_tf", *named(path)]) for path in MODULES if path.name == "__init__.py"}


def test_networks_and_losses_know_keras_only():
    folder = PACKAGE / "networks"
    for name in ("models", "losses"):
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        assert "tensorflow" not in text.split('"""', 2)[2], name


def test_images_load_without_tensorflow():
    names = [f"srgan_tf.{'.'.join(named(path))}" for path in MODULES if path.parent.name == "images"]
    code = f"import {', '.join(['sys', *names])}; sys.exit(bool({{'tensorflow', 'keras'}} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_fits_in_a_head(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


def test_commands_parse_their_flags_without_loading_tensorflow():
    code = (
        "import sys, srgan_tf.commands.train, srgan_tf.commands.evaluate, srgan_tf.commands.upscale,"
        "srgan_tf.commands.export, srgan_tf.commands.demo;"
        "sys.exit(bool({'tensorflow', 'keras', 'numpy'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
