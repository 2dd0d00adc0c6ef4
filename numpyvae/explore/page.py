"""The page of `numpyvae explore`: a run's parameters and data beside the JavaScript that uses them.

The page needs no network: it contains the files of this folder, and arrays as compressed bytes in
base64. The JavaScript computes the same as `models/vae.py`, under the same names; the lines that
the page highlights are read from that file here.
"""

from __future__ import annotations

import ast
import base64
import inspect
import json
import textwrap
import zlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from numpyvae.data import binarize_pixels
from numpyvae.drawing import tile_shape, value_range
from numpyvae.models import VAE, Model
from numpyvae.numerics import Array
from numpyvae.plots import informative_dims
from numpyvae.posterior_drawing import CLASS_COLOURS, class_name
from numpyvae.run_data import RunData

__all__ = ["PAGE", "described", "explore_page", "page_script", "why_no_page"]

SCRIPTS = (
    *("arrays", "likelihoods", "model", "mistakes", "drawing", "pictures"),
    *("plane_drawing", "plane", "path_steps", "path_arrows", "path_tables", "path"),
    *("train_drawing", "train", "main"),
)
"""The scripts in reading order; only the last one runs anything when loaded."""
PAGE = "explore.html"
PAGE_BYTES = 1_000_000
"""The size of a page; examples get what parameters and code leave."""
LEAST_BYTES = 500_000
"""The least size for examples, however many parameters there are."""
MOST_PARAMETERS = 2_000_000
"""With more, the page would be too large for a browser, and a step would take seconds."""
MOST_TEST, MOST_TRAIN = 2000, 20_000
MOST_CLASSES = 30


def why_no_page(model: Model) -> str:
    """Why there is no page for this model; "" if there is one."""
    if type(model) is not VAE:
        return f"it shows only the gradient path of a VAE, not of {type(model).__name__}"
    if model.layout.size > MOST_PARAMETERS:
        return f"it takes at most {MOST_PARAMETERS:,} parameters, not {model.layout.size:,}"
    return ""


def explore_page(model: Any, data: RunData, title: str) -> str:
    """The HTML of a fitted VAE and its data; ValueError for a model without such a page."""
    if reason := why_no_page(model):
        raise ValueError(f"no page: {reason}")
    theta = _packed(model.theta)
    budget = max(LEAST_BYTES, PAGE_BYTES - len(page_script()) - 30_000 - len(theta["base64"]))
    description = {
        "title": title,
        "model": described(model),
        "theta": theta,
        "lines": _lines(),
        "colours": CLASS_COLOURS,
        **_examples(model, data, budget),
    }
    text = json.dumps(description, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    page = _text("page.html").replace("/* page.css */", _text("page.css"))
    return page.replace("/* scripts */", page_script()).replace("{/* run */}", text)


def page_script() -> str:
    """All JavaScript of the page, as one script."""
    return "\n".join(_text(f"{name}.js") for name in SCRIPTS)


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def described(model: Any) -> dict[str, Any]:
    """The model's configuration, and the places of its parameters in theta."""
    layout = model.layout
    return {
        "name": repr(model),
        "data_dim": model.data_dim,
        "latent_dim": model.latent_dim,
        "hidden_dims": model.hidden_dims,
        "activation": model.activation,
        "likelihood": model.likelihood.config(),
        "likelihood_name": repr(model.likelihood),
        "beta": str(model.beta),  # JSON has no inf
        "seed": model.seed,
        "epochs": model.epochs_trained,
        "layout": {
            name: (layout.slices[name].start, shape) for name, shape in layout.shapes.items()
        },
    }


def _examples(model: Any, data: RunData, budget: int) -> dict[str, Any]:
    """Test and training examples, as many as fit into `budget` bytes, with a description."""
    seen = np.asarray(data.test_examples()[:MOST_TEST])
    is_pixels = data.transform is binarize_pixels
    if data.transform is not None and not is_pixels:
        raise ValueError("the page can show only the transform binarize_pixels")
    x_train = data.x_train[:: max(1, -(-len(data.x_train) // MOST_TRAIN))]
    if not is_pixels:
        x_train, seen = (np.asarray(x).astype(model.dtype, copy=False) for x in (x_train, seen))
    test = _packed_rows(seen, int(0.4 * budget))
    train = _packed_rows(x_train, budget - len(test["base64"]))
    n_test = test["rows"]
    shape = tile_shape(model.data_dim, None)
    white, black = _range(model, seen[:n_test])
    return {
        "test": {**test, "of": len(data.x_test)},
        "train": {**train, "of": len(data.x_train), "binarize": is_pixels},
        **_classes(data.labels, n_test),
        "columns": list(map(str, data.columns)),
        "shape": shape,
        "white": white,
        "black": black,
        "dims": _dims(model, seen[:n_test]),
    }


def _range(model: Any, x: Array) -> tuple[float, float]:
    """The values drawn white and black, as in the pictures; never equal, even if all data are."""
    white, black = value_range(model, x)
    return (white, black) if black > white else (white, white + 1.0)


def _dims(model: Any, x: Array) -> list[int]:
    """The latent dimensions shown first: the two with the most KL, in their order."""
    with np.errstate(all="ignore"):
        return sorted(informative_dims(model, x))


def _classes(labels: Array | None, n: int) -> dict[str, Any]:
    """The names of the classes, and each test example's class; none if there are too many."""
    if labels is None:
        return {"classes": [], "labels": []}
    classes, index = np.unique(np.asarray(labels)[:n], return_inverse=True)
    if len(classes) > MOST_CLASSES:
        return {"classes": [], "labels": []}
    names = [class_name(value).replace("\\$", "$") for value in classes]
    return {"classes": names, "labels": index.tolist()}


def _packed(x: Array) -> dict[str, Any]:
    """An array as {"type", "base64"}, little-endian and compressed."""
    kind = {"u1": "Uint8Array", "f4": "Float32Array", "f8": "Float64Array"}
    order = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
    packed = zlib.compress(order.tobytes(), 9)
    return {"type": kind[x.dtype.str[1:]], "base64": base64.b64encode(packed).decode()}


def _packed_rows(x: Array, budget: int) -> dict[str, Any]:
    """The first rows of x (N, D) that `budget` bytes hold, whole numbers to 255 as bytes."""
    if ((x >= 0) & (x <= 255) & (x == np.floor(x))).all():
        x = x.astype(np.uint8)
    n, packed = len(x), _packed(x[:1])
    while n > 1:
        packed = _packed(x[:n])
        if len(packed["base64"]) <= budget:
            break
        n = max(1, int(0.95 * n * budget / len(packed["base64"])))
    return {**packed, "rows": n}


def _lines() -> list[dict[str, Any]]:
    """The statements of `VAE.forward` and `VAE.backward` as written in models/vae.py."""
    lines: list[dict[str, Any]] = []
    for function in (VAE.forward, VAE.backward):
        source, first = inspect.getsourcelines(function)
        body: Sequence[ast.stmt] = ast.parse(textwrap.dedent("".join(source))).body[0].body  # type: ignore[attr-defined]
        for statement in (s for s in body if not _is_docstring(s)):
            for i in range(statement.lineno - 1, statement.end_lineno or statement.lineno):
                lines.append(
                    {"number": first + i, "text": source[i].strip(), "of": function.__name__}
                )
    return lines


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
