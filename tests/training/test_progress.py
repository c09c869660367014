"""Progress of a training run without a terminal: a line a minute."""

import tensorflow as tf

from srgan_tf.training import progress
from srgan_tf.training.recipes import Recipe


def test_no_line_is_printed_before_the_speed_is_known(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    shown = progress.Progress(Recipe(steps=100), 0, progress.Journal(tmp_path, 0))
    shown.add({"loss": tf.constant(1.0)})
    shown.show({"PSNR": "26.5"})  # a validation before the first log
    shown.print_line(1)
    assert capsys.readouterr().out == ""
    shown.log(1, 1e-4)
    shown.print_line(1)
    assert "step 1 of 100: PSNR 26.5, loss 1, " in capsys.readouterr().out
