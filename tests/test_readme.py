"""README.md gives the figures that the models' cards give."""

import pytest

from helpers import ROOT

SETS = ("Set5", "Set14", "BSD100")


@pytest.mark.parametrize("title, model", [("SRResNet", "srresnet_x4"), ("SRGAN", "srgan_x4")])
def test_readme_has_the_figures_of_the_cards(title, model):
    card = {
        row[0]: [cell.replace("/ 0.", "/ .") for cell in row[1:5]]
        for row in rows(ROOT / "weights" / model / "README.md")
        if row[0] in SETS
    }
    readme = rows(ROOT / "README.md")
    paper = next(row[1:] for row in readme if row[0].startswith(f"{title}, ours"))
    found, last = {}, None
    for row in readme:
        last = row[0] or last  # the set's name stands in its first row only
        if last in SETS and row[1] == title:
            found[last] = [paper[SETS.index(last)], *row[2:5]]
    assert found == card


def rows(path):
    """The cells of all tables of a Markdown file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
