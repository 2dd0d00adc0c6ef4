"""The forms in which callers have their values: theta and gradients as flat vectors, and back.

All other files work on one flat float64 vector (P,). A :class:`Point` gives such a vector back as
what the caller gave (an array of any shape, or a dict of named arrays) and names its entries.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .blas import one_blas_thread

Array = NDArray[Any]
Vector = NDArray[np.float64]


class Block(NamedTuple):
    """One named parameter: where its entries are in the flat vector, and its shape."""

    name: str
    indices: NDArray[np.intp]
    shape: tuple[int, ...]

    def take(self, vector: Array) -> Array:
        """The block's entries of a flat vector, in the block's shape (a copy)."""
        return vector[self.indices].reshape(self.shape)

    def index_of(self, i: int) -> str:
        """``"[3, 4]"`` for entry ``i`` of the flat vector; "" for a scalar."""
        index = np.argwhere((self.indices == i).reshape(self.shape))[0]
        return f"[{', '.join(map(str, index))}]" if self.shape else ""

    @property
    def shown_shape(self) -> str:
        """``"3 x 4"``; a scalar is ``"scalar"``."""
        return " x ".join(map(str, self.shape)) or "scalar"


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
        parts = dict(theta) if self.is_dict else {"theta": theta}
        arrays = [self._as_float64(value, str(key)) for key, value in parts.items()]
        self.keys, self.shapes = list(parts), [a.shape for a in arrays]
        self.vector: Vector = np.concatenate([np.zeros(0), *(a.reshape(-1) for a in arrays)])
        self.size = self.vector.size
        self.whole = Block("theta", np.arange(self.size), self.shapes[0] if self.shapes else ())
        if names is None or self.is_dict:
            self.blocks = _consecutive(dict(zip(map(str, parts), self.shapes, strict=True)))
        else:
            self.blocks = _named_blocks(names, self.size, self.shapes[0])

    def _as_float64(self, value: Any, name: str) -> Vector:
        try:
            array = np.asarray(value)
        except ValueError:  # arrays of several shapes
            array = np.array(None)
        kind, of = array.dtype.kind, array.dtype
        if kind == "O" and isinstance(value, (list, tuple)):
            raise TypeError(
                f"{name} must be one array or a dict of arrays, not {what(value)}: pass a dict "
                "such as {'W': W, 'b': b}"
            )
        if kind == "c":
            raise TypeError(f"{name} is complex ({of}): gradients are checked at real parameters")
        if kind not in "fiub":
            raise TypeError(f"{name} must be an array of numbers, but its dtype is {of}")
        if of != np.float64:
            self.was_narrow = self.was_narrow or of.itemsize < 8 or kind != "f"
            self.notes.append(f"{name} is {of}: it was converted to float64 for the check.")
        return array.astype(np.float64)

    def structure(self, vector: Array) -> Any:
        """A flat vector (P,) in the form theta was given in. Views: writing to the vector shows."""
        if not self.is_dict:
            return vector.reshape(self.shapes[0])
        ends = np.cumsum([block.indices.size for block in self.blocks], dtype=int)
        parts = zip(self.keys, np.split(vector, ends), self.shapes, strict=False)
        return {key: part.reshape(shape) for key, part, shape in parts}

    def entry(self, i: int) -> str:
        """The name of entry ``i`` of the flat vector: ``"encoder.0.b[3]"``."""
        block = next((b for b in self.blocks if i in b.indices), None)
        return f"theta[{i}]" if block is None else block.name + block.index_of(i)

    def code(self, i: int) -> str:
        """The index of entry ``i`` in Python: ``"['W'][3, 4]"``."""
        if not self.is_dict:
            return self.whole.index_of(i)
        parts = zip(self.keys, self.blocks, strict=True)
        return next(f"[{key!r}]{block.index_of(i)}" for key, block in parts if i in block.indices)

    def groups(self) -> list[NDArray[np.intp]]:
        """Entries to be moved together: those of each parameter; a single one is cut in eight."""
        parts = [b.indices for b in self.blocks if b.indices.size]
        if len(parts) == 1:
            return [g for g in np.array_split(parts[0], 8) if g.size]
        return parts if len(parts) <= 64 else np.array_split(np.concatenate(parts), 64)

    def name_of(self, indices: NDArray[np.intp]) -> str:
        """What to call some entries that were moved together."""
        if indices.size == 1:
            return self.entry(int(indices[0]))
        if indices.size == self.size > 1:
            return "a random direction"
        block = next(b for b in self.blocks if indices[0] in b.indices)
        return ("" if indices.size == block.indices.size else "part of ") + block.name

    def flatten(self, grad: Any) -> tuple[Vector, dict[str, str], dict[str, Array]]:
        """A gradient as a flat vector, what is wrong with its form, and the parts that do not fit.

        Entries for which no number of the right shape came are NaN; the second result says why,
        parameter by parameter.
        """
        vector, problems, misfits = np.full(self.size, np.nan), dict[str, str](), dict[str, Array]()
        blocks, values = self.blocks, {"theta": grad}
        if isinstance(grad, Mapping):
            values = {str(key): value for key, value in grad.items()}
            unknown = sorted(set(values) - {b.name for b in blocks})
            text = "there is a gradient for {!r}, but theta has no such parameter"
            problems = {name: text.format(name) for name in unknown}
        elif self.is_dict:
            text = f"theta is a dict of {len(self.keys)} arrays, but the gradient is {what(grad)}"
            if isinstance(grad, (list, tuple)):
                text += ": pass a dict with the same names"
            return vector, {block.name: text for block in blocks}, misfits
        else:
            blocks = [self.whole]
        for name, indices, shape in blocks:
            array, problem = _as_gradient(values.get(name), name, shape)
            if not problem and array is not None:
                vector[indices] = array.reshape(-1)
                continue
            problems[name] = problem
            if array is not None:
                misfits[name] = array
        return vector, problems, misfits

    def flat(self, value: Any, name: str) -> Vector:
        """A gradient, its function, or a direction as a flat vector; ValueError if none fits."""
        if callable(value):
            value = value(self.structure(self.vector.copy()))
        vector, problems, misfits = self.flatten(value)
        if name == "direction" and misfits:
            n = sum(array.size for array in misfits.values())
            raise ValueError(f"direction has {n} entries, but theta has {self.size}")
        if problems:
            raise ValueError("; ".join(problems.values()))
        return vector


def what(value: Any) -> str:
    """What came instead of what was expected, in words."""
    if value is None or isinstance(value, str):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    length = f" of {len(value)}" if isinstance(value, (list, tuple)) else ""
    return f"a {type(value).__name__}{length}"


def _as_gradient(value: Any, name: str, shape: tuple[int, ...]) -> tuple[Array | None, str]:
    """A parameter's gradient as float64, and what is wrong with it."""
    if value is None:
        return None, f"no gradient came for {name!r}"
    try:
        array = np.asarray(value)
    except ValueError:
        return None, f"the gradient of {name!r} is not a regular array"
    if array.dtype.kind == "c" and np.any(array.imag):
        return None, f"the gradient of {name!r} is complex ({array.dtype})"
    if array.dtype.kind not in "fiubc":
        return None, f"the gradient of {name!r} is not numeric (dtype {array.dtype})"
    array = array.real.astype(np.float64)
    fits = array.shape == shape
    problem = f"has shape {array.shape}, but the parameter has shape {shape}"
    return array, "" if fits else f"the gradient of {name!r} {problem}"


def _named_blocks(names: Any, size: int, shape: tuple[int, ...]) -> list[Block]:
    if shape != (size,):
        raise ValueError(f"names need a flat theta, but theta has shape {shape}")
    if not hasattr(names, "views"):
        sizes = {str(k): v if isinstance(v, Iterable) else (v,) for k, v in names.items()}
        blocks = _consecutive({k: tuple(int(n) for n in v) for k, v in sizes.items()})
        needed = sum(block.indices.size for block in blocks)
        if needed != size:
            raise ValueError(f"the shapes of names need {needed} entries, but theta has {size}")
        return blocks
    # The views of 0, 1, 2, ... tell where each parameter is, whatever the order of the layout.
    views = names.views(np.arange(size, dtype=np.float64))
    whole = {str(k): np.real(np.asarray(v)).astype(np.intp) for k, v in views.items()}
    blocks = [Block(name, a.reshape(-1), a.shape) for name, a in whole.items()]
    rest = np.setdiff1d(np.arange(size), np.concatenate([b.indices for b in blocks]))
    return [*blocks, Block("(unnamed)", rest, rest.shape)] if rest.size else blocks


def _consecutive(shapes: Mapping[str, tuple[int, ...]]) -> list[Block]:
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
    spans = zip(shapes.items(), ends[:-1], ends[1:], strict=True)
    return [Block(name, np.arange(start, stop), shape) for (name, shape), start, stop in spans]


def as_scalar(value: Any) -> Any:
    """What ``f`` returned, as one Python number; a clear TypeError if it is anything else."""
    if isinstance(value, (tuple, list, dict)) or value is None:
        came = what(value)
        advice = "If it returns (value, something), pass `lambda theta: f(theta)[0]`."
    else:
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "fciub":
            return array.item()
        came = f"{what(array)}, dtype {array.dtype}"
        advice = "For a function with array values use check_vjp."
    raise TypeError(f"f must return one number, but it returned {came}. {advice}")


def check_order(call: str, f: Any, theta: Any) -> None:
    """TypeError, with the right call, where the arguments are seen to be in another order."""
    if not callable(f):
        raise TypeError(f"f comes first, a function, but got a {type(f).__name__}: write {call}")
    if callable(theta):
        raise TypeError(f"theta comes second, but got a function in its place: write {call}")


def of_any_form(formula: Callable[..., Any]) -> Callable[..., Any]:
    """A formula on flat vectors, for theta in any form. f gets a copy of theta at each call."""
    signature = inspect.signature(formula)
    call = f"{formula.__name__}(f, theta, ...)"

    @one_blas_thread
    @wraps(formula)
    def tool(*args: Any, **options: Any) -> Any:
        given = signature.bind(*args, **options).arguments
        f = given["f"]
        check_order(call, f, given["theta"])
        point = Point(given["theta"])
        given["f"] = lambda vector: as_scalar(f(point.structure(vector.copy())))
        given["theta"] = point.vector
        for name in ("grad", "direction"):
            if given.get(name) is not None:
                given[name] = point.flat(given[name], name)
        result = formula(**given)
        return point.structure(result) if isinstance(result, np.ndarray) else result

    return tool


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """``function`` of all that is in nested dicts, tuples and lists, in the same form."""
    if isinstance(value, Mapping):
        return {k: mapped(function, v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        parts = [mapped(function, v) for v in value]
        if hasattr(value, "_fields"):
            return type(value)(*parts)
        return tuple(parts) if isinstance(value, tuple) else parts
    return function(value)


def snapshot(value: Any) -> Any:
    """A copy in which no array is shared, objects as dicts of what they hold."""

    def copy(part: Any) -> Any:
        if hasattr(part, "__array__") and not isinstance(part, (np.generic, type)):
            return np.array(part)
        is_object = hasattr(part, "__dict__") and type(part).__module__ != "builtins"
        return snapshot(vars(part)) if is_object and not callable(part) else part

    return mapped(copy, value)


def changed(before: Any, now: Any) -> bool:
    """Whether ``now`` differs from the :func:`snapshot` taken ``before``."""
    return not _same(before, snapshot(now))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, Mapping):
        same_kind = isinstance(b, Mapping) and list(a) == list(b)
        return same_kind and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (tuple, list)):
        same_kind = isinstance(b, (tuple, list)) and len(a) == len(b)
        return same_kind and all(map(_same, a, b))
    return not isinstance(a, (int, float, complex, str)) or a == b or a != a  # NaN too
