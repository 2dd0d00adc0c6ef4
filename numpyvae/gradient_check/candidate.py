"""The gradient to be checked: an array, a dict, or a function, which is called and called again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .calling import Notes, repeats, snapshot
from .points import Array, Vector, as_scalar
from .sampling import Sample

__all__ = ["Candidate", "collect"]


@dataclass(frozen=True)
class Candidate:
    """The gradient under test: flat, with what is wrong about its form.

    problems   parameter -> what is wrong with the form of its gradient
    misfits    parameter -> its gradient in the shape in which it came, where that is a wrong one
    eps        the precision of the gradient's dtype, where that is less than float64's and may be
    is_narrow  whether its dtype is less than float64
    """

    vector: Vector
    problems: dict[str, str]
    misfits: dict[str, Array]
    eps: float = 0.0
    is_narrow: bool = False

    @property
    def has_numbers(self) -> bool:
        """Whether there is anything to compare."""
        return bool(np.any(np.isfinite(self.vector)) or self.misfits)


def collect(sample: Sample, grad: Any, notes: Notes) -> Candidate:
    """The gradient as a flat vector; a function is called again after f was called elsewhere."""
    if not callable(grad):
        return _as_candidate(sample, grad, notes)
    sample.f.or_nan(sample.f.real)  # f at theta comes before grad, as for a caller of both
    candidate = _as_candidate(sample, _call(sample, grad, notes), notes)
    if not notes.unknown and np.all(np.isfinite(candidate.vector)):
        _call_again(sample, grad, candidate.vector, notes)
    return candidate


def _call(sample: Sample, grad: Any, notes: Notes) -> Any:
    """Call grad at a copy of theta; what it returns is copied: it may reuse its buffer."""
    vector = sample.f.point.vector.copy()
    raw = grad(sample.f.point.structure(vector))
    if not np.array_equal(vector, sample.f.point.vector, equal_nan=True):
        notes.fail(
            "changes theta", "grad changes theta in place: it must not touch what it is given."
        )
    return snapshot(raw)


def _without_value(sample: Sample, raw: Any, notes: Notes) -> Any:
    """The gradient of ``(value, gradient)``, as loss_and_grad returns it; value is compared."""
    is_pair = isinstance(raw, tuple) and len(raw) == 2 and np.size(raw[0]) == 1
    if not is_pair or np.ndim(raw[0]) != 0 or _is_a_gradient(sample, raw):
        return raw
    value = as_scalar(raw[0])
    near = 1e-9 * abs(sample.value) + 100.0 * sample.noise
    if np.isfinite(sample.value) and abs(value - sample.value) > near:
        notes.warn(
            f"The value returned beside the gradient is {value!r}, but f(theta) is "
            f"{sample.value!r}."
        )
    return raw[1]


def _is_a_gradient(sample: Sample, raw: tuple[Any, Any]) -> bool:
    """Whether two numbers are the gradient of a theta of two entries."""
    return sample.f.point.shapes == [(2,)] and np.ndim(raw[1]) == 0 and not sample.f.point.is_dict


def _as_candidate(sample: Sample, raw: Any, notes: Notes) -> Candidate:
    raw = _without_value(sample, raw, notes)
    eps, is_narrow, kinds = 0.0, False, dict[Any, list[str]]()
    for name, value in raw.items() if isinstance(raw, Mapping) else [("", raw)]:
        kinds.setdefault(getattr(value, "dtype", np.dtype(np.float64)), []).append(str(name))
    for kind, names in kinds.items():
        where = f" of {', '.join(names)}" if any(names) else ""
        if kind in (np.float32, np.float16):
            is_narrow = True
            text = f"The gradient{where} is {kind}: it is good to {np.finfo(kind).eps:.0e} only."
            if sample.f.point.was_narrow:
                eps = max(eps, float(np.finfo(kind).eps))
                notes.warn(text)
            else:
                notes.fail("dtype", f"{text} theta is float64: give every buffer theta's dtype.")
        elif getattr(kind, "kind", "") in ("i", "u", "b"):
            notes.warn(
                f"The gradient{where} is {kind}: an integer buffer cuts off what is behind the "
                "point."
            )
    return Candidate(*sample.f.point.flatten(raw), eps, is_narrow)


def _call_again(sample: Sample, grad: Any, first: Vector, notes: Notes) -> None:
    """Call f somewhere else, then grad at theta again: it must give the same."""

    def again() -> Vector:
        raw = _without_value(sample, _call(sample, grad, notes), notes)
        return sample.units * sample.f.point.flatten(raw)[0]

    sample.f.along(sample.direction())(2.0**-5)
    first = first * sample.units  # so that no parameter hides behind one with larger slopes
    second = again()
    if repeats(second, first):
        return
    if repeats(second, first, 2.0):
        notes.fail(
            "accumulates",
            "The second call of grad doubles the first: gradients add up from call to call. Set "
            "them to zero at the start of the backward pass.",
        )
        return
    sample.f.or_nan(sample.f.real)
    if repeats(again(), first):
        notes.fail(
            "stale cache",
            "grad(theta) depends on where f was called last: it uses a stale cache of that "
            "forward pass.",
        )
    else:
        notes.fail(
            "not deterministic",
            "grad is not deterministic: two calls at the same theta differ, while f is. Does the "
            "backward pass draw new noise, or keep a state?",
        )
