"""A matplotlib Figure that shows itself in a notebook, without pyplot and without %matplotlib."""

from __future__ import annotations

import io

from matplotlib import figure

__all__ = ["Figure"]

NOTEBOOK_DPI = 100


class Figure(figure.Figure):
    """What the package draws on: a notebook shows it where it ends a cell, as a picture."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=NOTEBOOK_DPI)
        return file.getvalue()
