"""The pages: their figures are those of the model cards, their links exist, their programs run."""

import configparser
import re
import shutil
import subprocess
import sys

import pytest

from helpers import ROOT

SETS = ("Set5", "Set14", "BSD100")
CARDS = sorted(ROOT.glob("weights/*/README.md"))
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *CARDS]


@pytest.mark.parametrize("title, model", [("SRResNet", "srresnet_x4"), ("SRGAN", "srgan_x4")])
def test_readme_and_the_evaluation_page_have_the_figures_of_the_cards(title, model):
    card = {
        row[0]: [cell.replace("/ 0.", "/ .") for cell in row[1:5]]
        for row in rows(ROOT / "weights" / model / "README.md")
        if row[0] in SETS
    }
    paper = [" / ".join(cell.split(" / ")[:2]) for cell in figures_of_readme(title)]
    found, last = {}, None
    for row in rows(ROOT / "docs" / "evaluation.md"):
        last = row[0] or last  # the set's name stands in its first row only
        if last in SETS and row[1] == title:
            found[last] = [paper[SETS.index(last)], *row[2:5]]
    assert found == card


@pytest.mark.parametrize("title, model", [("SRResNet", "srresnet_x4"), ("SRGAN", "srgan_x4")])
def test_readme_the_evaluation_page_and_the_cards_have_the_same_lpips(title, model):
    [card] = re.findall(r"on Set5, Set14 and BSD100: (.*?), with", (ROOT / "weights" / model / "README.md").read_text())
    readme = [cell.split(" / ")[2] for cell in figures_of_readme(title)]
    [page] = [row[1:] for row in rows(ROOT / "docs" / "evaluation.md") if row[0] == title and len(row) == 4]
    assert readme == [cell.split(" / ")[0] for cell in page] == re.findall(r"\.\d+", card)


def test_readme_has_the_lpips_on_damaged_pictures_of_the_card():
    readme, card = (
        {row[0]: row for row in reversed(list(rows(ROOT / path))) if len(row) == 8 and row[-1].startswith(".")}
        for path in ("README.md", "weights/photo_x4/README.md")
    )
    assert "`photo`" in readme and readme.items() <= card.items()


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_metadata_of_a_card_has_the_figures_of_its_table(path):
    yaml = pytest.importorskip("yaml")
    _, front, text = path.read_text(encoding="utf-8").split("---\n", 2)
    metadata = yaml.safe_load(front)
    [model] = metadata["model-index"]
    assert model["name"] == path.parent.name and metadata["license"] == "apache-2.0"
    said = {result["dataset"]["name"]: [metric["value"] for metric in result["metrics"]] for result in model["results"]}
    table = {row[0]: [float(n) for n in row[1].split(" / ")] for row in rows(path) if row[0] in SETS}
    assert said == table


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, heading = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], link


def test_the_list_of_pages_is_complete():
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for path in ROOT.glob("docs/*.md"):
        assert path.name == "README.md" or f"]({path.name})" in listed


def test_the_python_examples_of_readme_and_of_the_api_run_as_printed(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    api = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("## Train and evaluate")[0]
    code = "\n".join(block for page in (readme, api) for block in re.findall(r"```python\n(.*?)```", page, re.S))
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "parrots.png", tmp_path / "docs")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1,552,771" in done.stdout and (tmp_path / "large.png").exists()


def test_the_version_of_the_changelog_and_the_citation_is_that_of_the_package():
    import srgan_tf

    version = srgan_tf.__version__.split(".dev")[0]
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["metadata"]["version"] == "attr: srgan_tf.__version__"


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name)
def test_the_files_of_the_forge_are_valid_yaml(path):
    assert pytest.importorskip("yaml").safe_load(path.read_text(encoding="utf-8"))


def figures_of_readme(title):
    """PSNR / SSIM / LPIPS on each set, of our model."""
    [figures] = [row[1:] for row in rows(ROOT / "README.md") if row[0].startswith(f"{title}, ours")]
    return figures


def rows(path):
    """The cells of all tables of a Markdown file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
