"""check_vjp: one forward/backward pair, every input.

A backward function computes a vector-Jacobian product: for a cotangent dvalue of f's value it
returns, for every input x, d sum(dvalue * f(x)) / dx. With a random dvalue this is an ordinary
gradient of an ordinary number, and any error of the backward shows in it (with probability one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arguments import Arguments
from .blas import one_blas_thread
from .calling import changed, close, rebuilt, snapshot
from .checks import check_options, run
from .comparison import Check
from .points import Point
from .report import GradientReport

__all__ = ["check_vjp"]


@one_blas_thread
def check_vjp(
    f: Callable[..., Any],
    f_backward: Callable[[Any, Any], Any],
    inputs: Any,
    *,
    method: str = "auto",
    rtol: float = 1e-6,
    atol: float = 0.0,
    directions: int | None = None,
    names: Any = None,
    rng: Any = 0,
    sizes: Mapping[str, int] | None = None,
) -> GradientReport:
    """Check ``f_backward`` against ``f`` at ``inputs``, for a random cotangent.

    f           f(*inputs) -> (value, cache); value an array, or a tuple, list or dict of arrays
    f_backward  f_backward(dvalue, cache) -> one cotangent for every input of f, in f's order (a
                tuple, or a dict by name; an array if there is one input); None for an input that is
                not differentiated
    inputs      a tuple or list of arguments, or a dict of keyword arguments. An argument is an
                array or a dict of arrays; integers, booleans, strings and None are constants
    names       names for the inputs; f's own argument names unless given

    Also found: inputs, cotangent or cache changed in place, a second call that differs from the
    first, and a backward that uses the last forward call in place of its cache. The other options
    are those of :func:`check_grad`.
    """
    check_options(method, rtol, atol, directions)
    arguments = Arguments(f, inputs, names)
    generator = np.random.default_rng(rng)
    with np.errstate(all="ignore"):
        pair = _Pair(f, f_backward, arguments, generator)
        theta, grad = arguments.select(pair.cotangents)
        if not theta:
            raise ValueError(
                "f_backward returned no cotangent for any input that is an array of floats"
            )

        def scalar(point: Mapping[str, Any]) -> Any:
            return _inner(
                pair.dvalue, f(*arguments.positional(point), **arguments.keywords(point))[0]
            )

        check = Check(scalar, Point(theta), rtol, atol, generator, sizes)
        check.warnings[:0] = arguments.notes
        for pattern, text in pair.failures:
            check.fail(pattern, text)
        report = run(check, grad, method, directions)
    if report.verdict == "fail":
        seed = f", rng={rng!r}" if isinstance(rng, int) else ""
        report.reproduce = f"print(check_vjp({_name(f)}, {_name(f_backward)}, inputs{seed}))"
    return report


class _Pair:
    """One forward and the backward calls that belong to it, watched for changes in place."""

    def __init__(
        self, f: Any, f_backward: Any, arguments: Arguments, rng: np.random.Generator
    ) -> None:
        self.f, self.f_backward, self.arguments = f, f_backward, arguments
        self.failures: list[tuple[str, str]] = []
        base = arguments.values()
        value, cache = self._forward(base)
        self.dvalue = _draw(value, rng)
        self.cotangents = self._backward(base, cache, value)
        self._again(cache, rng)

    def _forward(self, point: dict[str, Any]) -> tuple[Any, Any]:
        before = snapshot(point)
        out = self.f(*self.arguments.positional(point), **self.arguments.keywords(point))
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"f must return (value, cache), but it returned {_what(out)}")
        if changed(before, point):
            names = ", ".join(_where(before, point))
            self.failures.append(("changes input", f"f changes its input in place ({names})."))
        return out

    def _backward(self, base: dict[str, Any], cache: Any, value: Any) -> dict[str, Any]:
        dvalue = snapshot(self.dvalue)
        before = {
            "its cache": snapshot(cache),
            "f's inputs": snapshot(base),
            "f's value": snapshot(value),
        }
        first = snapshot(self.arguments.by_name(self.f_backward(dvalue, cache)))
        if changed(self.dvalue, dvalue):
            self.failures.append(
                ("changes input", "f_backward changes the cotangent it is given in place.")
            )
        after = {"its cache": cache, "f's inputs": base, "f's value": value}
        for name, old in before.items():
            if changed(old, after[name]):
                self.failures.append(("changes cache", f"f_backward changes {name} in place."))
        return first

    def _again(self, cache: Any, rng: np.random.Generator) -> None:
        """The same call must give the same, also after a forward pass somewhere else."""
        if self.failures:
            return
        second = self.arguments.by_name(self.f_backward(snapshot(self.dvalue), cache))
        if not close(second, self.cotangents):
            if close(second, self.cotangents, 2.0):
                text = "The second call of f_backward doubles the first: it adds to the first one."
                self.failures.append(("accumulates", text))
            else:
                text = "f_backward is not deterministic: two equal calls differ."
                self.failures.append(("not deterministic", text))
            return
        try:
            self.f(
                *self.arguments.positional(moved := self.arguments.moved(rng)),
                **self.arguments.keywords(moved),
            )
        except Exception:
            return  # f may well object to another point
        if not close(
            self.arguments.by_name(self.f_backward(snapshot(self.dvalue), cache)), self.cotangents
        ):
            text = "f_backward uses the last forward call of f, and not the cache it is given."
            self.failures.append(("stale cache", text))


def _draw(value: Any, rng: np.random.Generator) -> Any:
    """A random cotangent in the form of ``value``."""
    if isinstance(value, Mapping):
        return {k: _draw(v, rng) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return rebuilt(value, [_draw(v, rng) for v in value])
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"f's value must be an array of real numbers, but it is {_what(value)}")
    return rng.standard_normal(array.shape)


def _inner(dvalue: Any, value: Any) -> Any:
    """sum(dvalue * value) over everything."""
    if isinstance(dvalue, Mapping):
        return sum(_inner(dvalue[k], value[k]) for k in dvalue)
    if isinstance(dvalue, (tuple, list)):
        return sum(_inner(a, b) for a, b in zip(dvalue, value, strict=True))
    return np.sum(dvalue * np.asarray(value))


def _where(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [name for name in before if changed(before[name], after[name])]


def _what(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return (
        f"an array of shape {value.shape}"
        if isinstance(value, np.ndarray)
        else f"a {type(value).__name__}"
    )


def _name(function: Any) -> str:
    name = str(getattr(function, "__qualname__", "f"))
    return name.rsplit(">.", 1)[-1] if not name.endswith("<lambda>") else "f"
