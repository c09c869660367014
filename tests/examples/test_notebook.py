"""The notebook for students runs as it is stored, with its outputs."""

import json

import pytest

from helpers import ROOT

NOTEBOOK = ROOT / "examples" / "srgan.ipynb"


def test_every_cell_of_the_notebook_has_been_run_without_an_error():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3


@pytest.mark.long
def test_the_notebook_runs_and_fine_tuning_raises_the_score():
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install nbclient ipykernel")
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": NOTEBOOK.parent}}).execute()
    printed = [output.text for output in notebook.cells[-2].outputs if output.get("name") == "stdout"]
    rows = [line.split() for line in "".join(printed).splitlines()]
    score = {name: float(psnr) for name, psnr, *_ in rows}
    assert score["bicubic"] < score["SRResNet"] < score["fine-tuned"]
