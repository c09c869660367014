"""Tables for people, for Markdown and for LaTeX hold the same figures."""

import math

import pytest

from srgan_tf.evaluation import tables

FIGURES = {"paper": {"psnr": 28.4, "ssim": 0.81}, "rgb": {"psnr": math.inf, "ssim": 1.0}, "lpips": 0.3435}


def results(**changes):
    methods = {"bicubic": FIGURES, "my_net|&": {**FIGURES, "lpips": math.nan}}
    sets = {"set5": {"pictures": [{}] * 5, "mean": methods}}
    return {"scale": 4, "protocols": ["paper", "rgb"], "metrics": ["psnr", "ssim", "lpips"], "sets": sets, **changes}


def test_text_has_the_protocol_above_its_columns_and_the_unit_of_the_others():
    lines = tables.format_table(results()).splitlines()
    assert lines[0] == "Set5: 5 pictures, scale 4"
    assert lines[1].split() == ["paper", "rgb", "LPIPS"]
    assert lines[2].split() == ["PSNR", "SSIM", "PSNR", "SSIM", "distance"]
    assert lines[3].split() == ["bicubic", "28.40", "0.8100", "inf", "1.0000", "0.3435"]
    assert lines[4].split() == ["paper's", "bicubic", "28.43", "0.8211"]
    assert lines[5].split() == ["my_net|&", "28.40", "0.8100", "inf", "1.0000", "n/a"]


def test_a_single_metric_of_the_protocols_keeps_its_columns():
    one = results(metrics=["ssim"])
    lines = tables.format_table(one).splitlines()
    assert lines[1].split() == ["paper", "rgb"] and lines[2].split() == ["SSIM", "SSIM"]
    assert lines[4].split() == ["paper's", "bicubic", "0.8211"]
    assert len(lines[1]) == len(lines[2]) == len(lines[3])


def test_markdown_is_a_table_with_as_many_cells_in_every_row():
    lines = tables.format_table(results(), "markdown").splitlines()
    assert lines[0] == ("| Set5: 5 pictures, scale 4 | PSNR (paper) | SSIM (paper) | PSNR (rgb) | SSIM (rgb) | LPIPS |")
    assert lines[1] == "| --- |" + " ---: |" * 5
    assert lines[2] == "| bicubic | 28.40 | 0.8100 | inf | 1.0000 | 0.3435 |"
    assert "| my_net\\|& |" in lines[4]
    assert {line.replace("\\|", "").count("|") for line in lines} == {7}


def test_latex_is_a_tabular_with_special_characters_escaped():
    text = tables.format_table(results(), "latex")
    lines = text.splitlines()
    assert lines[1] == r"\begin{tabular}{lrrrrr}" and lines[-1] == r"\end{tabular}"
    assert r"  bicubic & 28.40 & 0.8100 & inf & 1.0000 & 0.3435 \\" in lines
    assert r"  my\_net|\& & 28.40" in text and r"  paper's bicubic & 28.43 & 0.8211 &  &  &  \\" in lines
    assert {line.replace(r"\&", "").count("&") for line in lines if line.endswith(r"\\")} == {5}


@pytest.mark.parametrize("style", tables.STYLES)
def test_a_line_break_in_the_name_of_a_set_breaks_no_row(style):
    sets = {name: results(sets={name: results()["sets"]["set5"]}) for name in ("set 6", "set\n6")}
    lines = {name: len(tables.format_table(found, style).splitlines()) for name, found in sets.items()}
    assert lines["set 6"] == lines["set\n6"]


@pytest.mark.parametrize("style", tables.STYLES)
def test_degraded_lr_is_named_and_not_compared_with_the_paper(style):
    text = tables.format_table(results(degradation={"name": "jpeg=30", "seed": 0}), style)
    assert "LR degraded: jpeg=30, seed 0" in text and "paper's" not in text
