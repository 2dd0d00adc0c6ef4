"""A point theta, given as an array, a dict of named arrays, or a flat vector with a layout.

Everything below works on one flat float64 vector (P,); a :class:`Point` knows how to give such a
vector back in the caller's own form, as views, and what to call its entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Block", "Point", "describe_shape"]


def describe_shape(shape: Iterable[int]) -> str:
    """``(3, 4)`` -> ``"3 x 4"``; a scalar is ``"scalar"``."""
    return " x ".join(str(n) for n in shape) or "scalar"


class Block:
    """One named parameter: its shape and where its entries lie in the flat vector."""

    __slots__ = ("indices", "name", "shape")

    def __init__(self, name: str, indices: NDArray[np.intp]) -> None:
        self.name = name
        self.shape: tuple[int, ...] = indices.shape
        self.indices = indices.reshape(-1)

    def take(self, vector: NDArray[Any]) -> NDArray[Any]:
        """The block's entries of a flat vector, in the block's shape (a copy)."""
        return vector[self.indices].reshape(self.shape)

    def entry(self, position: int) -> str:
        """``"W[3, 4]"`` for the entry at a position of the raveled block."""
        if not self.shape:
            return self.name
        index = np.unravel_index(position, self.shape)
        return f"{self.name}[{', '.join(str(int(i)) for i in index)}]"


class Point:
    """A copy of theta as a flat float64 vector, with the names and shapes of its parts.

    theta   an array of any shape, or a dict name -> array
    names   for a flat theta: a layout with ``views(theta) -> {name: view}``, or a dict name ->
            shape, in order
    """

    def __init__(self, theta: Any, names: Any = None) -> None:
        self.notes: list[str] = []
        self.was_narrow = False  # theta came in float32 (or float16, or integers)
        self.is_dict = isinstance(theta, Mapping)
        if self.is_dict:
            arrays = {str(k): self._as_float64(v, str(k)) for k, v in theta.items()}
            self.keys: list[Any] = list(theta)
            self.shapes = [a.shape for a in arrays.values()]
            parts = [a.reshape(-1) for a in arrays.values()]
            self.vector: Vector = np.concatenate(parts) if parts else np.zeros(0)
            self.blocks = _consecutive(
                dict(zip(arrays, self.shapes, strict=True)), self.vector.size
            )
        else:
            array = self._as_float64(theta, "theta")
            self.keys, self.shapes = ["theta"], [array.shape]
            self.vector = np.array(array.reshape(-1))  # a copy: the caller's theta is never touched
            self.blocks = _named_blocks(names, self.vector.size, array.shape)
        self.size = self.vector.size

    def _as_float64(self, value: Any, name: str) -> Vector:
        array = np.asarray(value)
        if array.dtype.kind == "c":
            raise TypeError(
                f"{name} is complex ({array.dtype}): gradients are checked at real parameters"
            )
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be an array of numbers, but its dtype is {array.dtype}")
        if array.dtype != np.float64:
            self.was_narrow = self.was_narrow or array.dtype.itemsize < 8 or array.dtype.kind != "f"
            self.notes.append(
                f"{name} is {array.dtype}: it was converted to float64 for the check."
            )
        return array.astype(np.float64)

    def structure(self, vector: NDArray[Any]) -> Any:
        """A flat vector (P,) in the form theta was given in. Views: writing to the vector shows."""
        if not self.is_dict:
            return vector.reshape(self.shapes[0])
        views, start = {}, 0
        for key, shape in zip(self.keys, self.shapes, strict=True):
            stop = start + int(np.prod(shape))
            views[key] = vector[start:stop].reshape(shape)
            start = stop
        return views

    def entry(self, i: int) -> str:
        """The name of entry ``i`` of the flat vector: ``"encoder.0.b[3]"``."""
        for block in self.blocks:
            position = np.flatnonzero(block.indices == i)
            if position.size:
                return block.entry(int(position[0]))
        return f"theta[{i}]"

    def flatten(self, grad: Any) -> tuple[Vector, dict[str, str], dict[str, NDArray[Any]]]:
        """A gradient as a flat vector, what is wrong with its form, and the parts that did not fit.

        Entries for which no number of the right shape came are NaN; ``problems`` says why,
        parameter by parameter.
        """
        vector = np.full(self.size, np.nan)
        problems: dict[str, str] = {}
        misfits: dict[str, NDArray[Any]] = {}
        if isinstance(grad, Mapping):
            parts = {block.name: (block.indices, block.shape) for block in self.blocks}
            for name in sorted({str(k) for k in grad} - set(parts)):
                problems[name] = (
                    f"there is a gradient for {name!r}, but theta has no such parameter"
                )
            values = {str(k): v for k, v in grad.items()}
        elif self.is_dict:
            text = f"theta is a dict of {len(self.keys)} arrays, but the gradient is {_kind(grad)}"
            return vector, {block.name: text for block in self.blocks}, misfits
        else:
            parts = {"theta": (np.arange(self.size), self.shapes[0])}
            values = {"theta": grad}
        for name, (indices, shape) in parts.items():
            if values.get(name) is None:
                problems[name] = f"no gradient came for {name!r}"
                continue
            array, problem = _as_gradient(values[name], name, shape)
            if problem:
                problems[name] = problem
                if array is not None:
                    misfits[name] = array
            elif array is not None:
                vector[indices] = array.reshape(-1)
        return vector, problems, misfits


def _kind(value: Any) -> str:
    array = np.asarray(value) if not isinstance(value, (str, type(None))) else None
    return (
        "None"
        if value is None
        else f"an array of shape {array.shape}"
        if array is not None
        else repr(value)
    )


def _as_gradient(
    value: Any, name: str, shape: tuple[int, ...]
) -> tuple[NDArray[Any] | None, str | None]:
    """A parameter's gradient as float64 in the right shape, or what is wrong with it."""
    try:
        array = np.asarray(value)
    except ValueError:
        return None, f"the gradient of {name!r} is not a regular array"
    if array.dtype.kind == "c" and np.any(array.imag):
        return None, f"the gradient of {name!r} is complex ({array.dtype})"
    if array.dtype.kind not in "fiubc":
        return None, f"the gradient of {name!r} is not numeric (dtype {array.dtype})"
    array = array.real.astype(np.float64)
    if array.shape != shape:
        return (
            array,
            f"the gradient of {name!r} has shape {array.shape}, but the parameter has shape "
            f"{shape}",
        )
    return array, None


def _named_blocks(names: Any, size: int, shape: tuple[int, ...]) -> list[Block]:
    if names is None:
        return [Block("theta", np.arange(size).reshape(shape))]
    if shape != (size,):
        raise ValueError(f"names need a flat theta, but theta has shape {shape}")
    if not hasattr(names, "views"):
        return _consecutive(
            {str(k): tuple(np.atleast_1d(v)) if v != () else () for k, v in names.items()}, size
        )
    # The views of 0, 1, 2, ... tell where each parameter lies, whatever the order of the layout.
    views = names.views(np.arange(size, dtype=np.float64))
    blocks = [Block(str(k), np.asarray(np.real(v)).astype(np.intp)) for k, v in views.items()]
    rest = np.ones(size, dtype=bool)
    for block in blocks:
        rest[block.indices] = False
    if rest.any():
        blocks.append(Block("(unnamed)", np.flatnonzero(rest)))
    return blocks


def _consecutive(shapes: Mapping[str, tuple[int, ...]], size: int) -> list[Block]:
    blocks, start = [], 0
    for name, shape in shapes.items():
        stop = start + int(np.prod(shape))
        blocks.append(Block(name, np.arange(start, stop).reshape(shape)))
        start = stop
    if start != size:
        raise ValueError(f"the shapes of names need {start} entries, but theta has {size}")
    return blocks
