"""The notebook of the documentation runs from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "python.ipynb"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_notebook_goes_from_tables_to_a_model(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.outputs]
    shown = {kind: "".join(output.get(kind, "") for output in outputs) for kind in ("text/html", "text/plain")}
    assert "Sweep tools" in shown["text/html"]
    assert "All trials of the search" in shown["text/html"]
    assert any("application/vnd.plotly.v1+json" in output for output in outputs)
    assert "['positive', 'negative']" in shown["text/plain"]
    assert (tmp_path / "tools-model" / "README.md").is_file()
