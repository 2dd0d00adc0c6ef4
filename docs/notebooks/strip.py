"""Notebooks as they are stored: cells without outputs, so that a diff shows what was changed.

python docs/notebooks/strip.py
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def stripped(text):
    """The text of a notebook without outputs, counts and what an editor has left in it."""
    cells = []
    for number, cell in enumerate(json.loads(text)["cells"], start=1):
        code = {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {}
        source = "".join(cell["source"]).strip("\n").splitlines(keepends=True)
        kept = {"cell_type": cell["cell_type"], "id": f"cell-{number}", "metadata": {}}
        cells.append({**kept, **code, "source": source})
    notebook = {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in HERE.glob("*.ipynb"):
        path.write_text(stripped(path.read_text(encoding="utf-8")), encoding="utf-8")
