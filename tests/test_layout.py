"""Rooms import downward only, and what must start fast loads nothing heavy."""
import ast
import subprocess
import sys

from helpers import ROOT

PACKAGE = ROOT / "srgan_tf"
LEVELS = [  # the lowest first; a room knows those below its own level
    {"errors", "recipes", "resize", "pixels", "memory", "protos"},
    {"atomic", "metadata", "palettes", "places", "png", "tiff", "devices", "xmp"},
    {"formats"},
    {"models", "losses", "optimizers", "metrics", "images", "inference", "zoo", "checkpoints", "pages", "variables",
     "sizes", "video", "warmup", "endpoints"},
    {"graph", "store", "export", "datasets", "benchmarks", "animations", "tiling", "plans"},
    {"pipeline", "steps", "upscaling", "jobs", "runs"},
    {"trainer", "evaluation", "client", "cluster"},
    {"report", "opinion", "qr"},
    {"commands"},
]


def level_of(room):
    return next(i for i, rooms in enumerate(LEVELS) if room in rooms)


def imports(path):
    """Rooms that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "srgan_tf":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("srgan_tf.")}
    return found


def test_rooms_import_downward_only():
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for other in imports(path) - {room}:
            assert level_of(other) < level_of(room), f"{path.name} imports {other}"


def test_networks_and_losses_know_keras_only():
    for room in ("models", "losses"):
        text = (PACKAGE / f"{room}.py").read_text(encoding="utf-8")
        assert "tensorflow" not in text.split('"""', 2)[2], room


def test_every_module_fits_in_a_head():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) < 400, path


def test_commands_parse_their_flags_without_loading_tensorflow():
    code = ("import sys, srgan_tf.commands.train, srgan_tf.commands.evaluate, srgan_tf.commands.upscale;"
            "sys.exit(bool({'tensorflow', 'keras', 'numpy'} & sys.modules.keys()))")
    subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=True)
