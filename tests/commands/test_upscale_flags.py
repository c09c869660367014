"""The flags of upscale.py reach the functions that use them."""

import dataclasses
from pathlib import Path

import pytest

from srgan_tf.commands import start, upscale
from srgan_tf.upscaling import by_file, jobs


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("--quality 60", {"quality": 60}),
        ("--keep_times", {"keep_times": True}),
        ("--keep_interlaced", {"keep_interlaced": True}),
        ("--large", {"large": True}),
        ("--damaged keep", {"keep_damaged": True}),
        ("--overwrite", {"overwrite": True}),
        ("--suffix _big", {"target": "a_big.png"}),
        ("--format webp", {"target": "a_x4.webp"}),
        ("--scale 4", {"scale": 4}),
        ("--tile 32", {"tile": 32}),
        ("--precision float32", {"precision": "float32"}),
        ("--fidelity 0.5", {"fidelity": 0.5}),
        ("--model photo", {"model": "photo"}),
        ("--outscale 2", {"outscale": 2, "target": "a_x2.png"}),
        ("--width 30", {"width": 30, "target": "a_w30.png"}),
        ("--height 30", {"height": 30, "target": "a_h30.png"}),
    ],
)
def test_a_flag_reaches_what_it_sets(tmp_path, monkeypatch, arguments, expected):
    defaults = {
        "quality": None,
        "keep_times": False,
        "keep_interlaced": False,
        "large": False,
        "keep_damaged": False,
        "overwrite": False,
        "target": "a_x4.png",
        "tile": 0,
        "precision": "auto",
        "fidelity": None,
        "model": "srgan",
        "outscale": None,
        "width": None,
        "height": None,
        "scale": None,
    }
    found = {}

    def record(planned, enlarger, *, overwrite, options, reporter):
        [job] = planned
        found.update(dataclasses.asdict(options), overwrite=overwrite, target=job.target.name)
        assert enlarger._upscaler == "loaded"
        return jobs.Outcome(1)

    def load(**settings):
        found.update(settings)
        return "loaded"

    monkeypatch.setattr(jobs, "run", record)
    monkeypatch.setattr(by_file, "load", load)
    monkeypatch.chdir(tmp_path)
    Path("a.png").touch()
    with pytest.raises(SystemExit) as end:
        start(upscale.main, ["upscale.py", "a.png", "--model", "srgan", *arguments.split()])
    assert not end.value.code
    assert found == {**defaults, **expected}
