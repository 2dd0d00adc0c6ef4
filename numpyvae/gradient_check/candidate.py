"""The gradient to be checked: an array, a dict, or a function, called and watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .calling import as_scalar, busiest_ratio, close, count_calls, snapshot
from .comparison import Check

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

__all__ = ["Candidate", "collect"]


class Candidate:
    """The gradient under test: flat, with what is wrong about its form."""

    def __init__(
        self, vector: Vector, problems: dict[str, str], misfits: dict[str, NDArray[Any]]
    ) -> None:
        self.vector, self.problems, self.misfits = vector, problems, misfits
        self.eps = 0.0  # the precision of the gradient's own dtype, where that is less than float64
        self.is_narrow = False  # whether its dtype is less than float64
        self.many_calls = 0  # how often f ran while it was computed, if suspiciously often


def collect(check: Check, grad: Any, counts: dict[Any, int]) -> Candidate:
    """The gradient as a flat vector; a callable is called again after f was called elsewhere."""
    if not callable(grad):
        return _as_candidate(check, grad)
    check.real.neighbour()  # f at theta comes before grad, as for a caller of both
    raw, outer = count_calls(lambda: _call(check, grad))
    candidate = _as_candidate(check, raw)
    calls = busiest_ratio(counts, outer)
    if calls >= max(8, check.point.size):
        candidate.many_calls = calls
    if not check.unknown:
        _call_again(check, grad, candidate.vector)
    return candidate


def _call(check: Check, grad: Any) -> Any:
    """Call grad at a copy of theta; what it returns is copied: it may reuse its buffer."""
    vector = check.point.vector.copy()
    raw = grad(check.point.structure(vector))
    if not np.array_equal(vector, check.point.vector, equal_nan=True):
        check.fail(
            "changes theta", "grad changes theta in place: it must not touch what it is given."
        )
    return snapshot(raw)


def _without_value(check: Check, raw: Any) -> Any:
    """The gradient of ``(value, gradient)``, as loss_and_grad returns it; value is compared."""
    if not (
        isinstance(raw, tuple) and len(raw) == 2 and np.size(raw[0]) == 1 and np.ndim(raw[0]) == 0
    ):
        return raw
    value = as_scalar(raw[0])
    if (
        np.isfinite(check.value)
        and abs(value - check.value) > 1e-9 * abs(check.value) + 100.0 * check.noise
    ):
        check.warn(
            f"The value returned beside the gradient is {value!r}, but f(theta) is {check.value!r}."
        )
    return raw[1]


def _as_candidate(check: Check, raw: Any) -> Candidate:
    raw = _without_value(check, raw)
    candidate = Candidate(*check.point.flatten(raw))
    _look_at_dtype(check, candidate, raw)
    return candidate


def _look_at_dtype(check: Check, candidate: Candidate, raw: Any) -> None:
    parts = raw.items() if isinstance(raw, Mapping) else [("", raw)]
    kinds: dict[Any, list[str]] = {}
    for name, value in parts:
        kinds.setdefault(getattr(value, "dtype", np.dtype(np.float64)), []).append(str(name))
    for kind, names in kinds.items():
        where = f" of {', '.join(names)}" if any(names) else ""
        if kind in (np.float32, np.float16):
            candidate.is_narrow = True
            text = f"The gradient{where} is {kind}: it is good to {np.finfo(kind).eps:.0e} only."
            if check.point.was_narrow:
                candidate.eps = max(candidate.eps, float(np.finfo(kind).eps))
                check.warn(text)
            else:
                check.fail("dtype", f"{text} theta is float64: give every buffer theta's dtype.")
        elif kind.kind in "iub":
            check.warn(
                f"The gradient{where} is {kind}: an integer buffer cuts off what is behind the "
                "point."
            )


def _call_again(check: Check, grad: Any, first: Vector) -> None:
    """Call f somewhere else, then grad at theta again: it must give the same."""
    if not np.all(np.isfinite(first)):
        return
    check.real.along(check.direction())(2.0**-5)
    first = first * check.units  # so that no parameter hides behind one with larger slopes
    second = _flat(check, grad)
    if close(second, first):
        return
    if close(second, first, 2.0):
        check.fail(
            "accumulates",
            "The second call of grad doubles the first: gradients add up from call to call. Set "
            "them to zero at the start of the backward pass.",
        )
        return
    check.real.neighbour()
    third = _flat(check, grad)
    if close(third, first):
        check.fail(
            "stale cache",
            "grad(theta) depends on where f was called last: it uses a stale cache of that "
            "forward pass.",
        )
    else:
        check.fail(
            "not deterministic",
            "grad is not deterministic: two calls at the same theta differ, while f is. Does the "
            "backward pass draw new noise, or keep a state?",
        )


def _flat(check: Check, grad: Any) -> Vector:
    """The gradient along natural steps, once more."""
    return check.units * check.point.flatten(_without_value(check, _call(check, grad)))[0]
