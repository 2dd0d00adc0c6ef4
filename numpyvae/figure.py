"""A matplotlib Figure that shows itself in a notebook, without pyplot and without %matplotlib."""

from __future__ import annotations

import io

from matplotlib import figure

__all__ = ["Figure"]

NOTEBOOK_DPI = 100


class Figure(figure.Figure):
    """The Figure class of the package; a notebook shows it as a picture at the end of a cell."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=NOTEBOOK_DPI)
        return file.getvalue()
