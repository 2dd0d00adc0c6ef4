"""check_vjp: one forward/backward pair, every input.

A backward function computes a vector-Jacobian product: for a cotangent dvalue of f's value it
returns, for every input x, d sum(dvalue * f(x)) / dx. With a random dvalue this is an ordinary
gradient of an ordinary number, and any error of the backward shows in it (with probability one).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .blas import one_blas_thread
from .checks import run
from .comparison import Settings
from .points import Point, changed, rebuilt, repeats, snapshot
from .report import GradientReport
from .slopes import Notes

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
    if callable(inputs) or not (callable(f) and callable(f_backward)):
        raise TypeError(
            "expected two functions and then inputs: write check_vjp(f, f_backward, inputs)"
        )
    settings = Settings(method, rtol, atol, directions, sizes)
    arguments, generator = _Arguments(f, inputs, names), np.random.default_rng(rng)
    with np.errstate(all="ignore"):
        found = Notes([])
        dvalue, cotangents = _backward(f, f_backward, arguments, generator, found)
        theta, grad = arguments.select(cotangents)
        if not theta:
            raise ValueError(
                "f_backward returned no cotangent for any input that is an array of floats"
            )

        def scalar(point: Mapping[str, Any]) -> Any:
            return _inner(dvalue, arguments.call(f, arguments.filled(point))[0])

        point = Point(theta)
        notes = Notes([*arguments.notes, *point.notes])
        for text, pattern in found.failures.items():
            notes.fail(pattern, text)
        seed = f", rng={rng!r}" if isinstance(rng, int) else ""
        call = f"check_vjp({_name(f, 'f')}, {_name(f_backward, 'f_backward')}, inputs{seed})"
        return run(scalar, point, grad, settings, notes, generator, f"print({call})")


def _backward(
    f: Any, f_backward: Any, arguments: _Arguments, rng: np.random.Generator, notes: Notes
) -> tuple[Any, dict[str, Any]]:
    """A random cotangent, and what the backward makes of it. It is watched, and called again."""
    inputs = arguments.filled({})
    before = snapshot(inputs)
    out = arguments.call(f, inputs)
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(f"f must return (value, cache), but it returned {_what(out)}")
    names = [name for name in inputs if changed(before[name], inputs[name])]
    if names:
        notes.fail("changes input", f"f changes its input in place ({', '.join(names)}).")
    value, cache = out
    dvalue = _draw(value, rng)
    given = {"the cotangent it is given": snapshot(dvalue), "its cache": cache}
    given |= {"f's inputs": inputs, "f's value": value}
    before = snapshot(given)
    first = snapshot(arguments.by_name(f_backward(given["the cotangent it is given"], cache)))
    for name, now in given.items():
        if changed(before[name], now):
            pattern = "changes input" if "cotangent" in name else "changes cache"
            notes.fail(pattern, f"f_backward changes {name} in place.")
    if not notes.failures:
        again = lambda: arguments.by_name(f_backward(snapshot(dvalue), cache))  # noqa: E731
        _call_again(again, lambda: arguments.call(f, arguments.moved(rng)), first, notes)
    return dvalue, first


def _call_again(
    again: Callable[[], Any], elsewhere: Callable[[], Any], first: dict[str, Any], notes: Notes
) -> None:
    """The same call must give the same, also after a forward pass somewhere else."""
    second = again()
    if repeats(second, first, 2.0) and not repeats(second, first):
        text = "The second call of f_backward doubles the first: it adds to the first one."
        notes.fail("accumulates", text)
    elif not repeats(second, first):
        text = "f_backward is not deterministic: two equal calls differ."
        notes.fail("not deterministic", text)
    else:
        try:
            elsewhere()
        except Exception:
            return  # f may well object to another point
        if not repeats(again(), first):
            text = "f_backward uses the last forward call of f, and not the cache it is given."
            notes.fail("stale cache", text)


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


def _what(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"


def _name(function: Any, default: str) -> str:
    """The name by which a function can be called; a lambda or an object has none."""
    name = str(getattr(function, "__qualname__", "<lambda>"))
    return default if name.endswith("<lambda>") else name.rsplit(">.", 1)[-1]


class _Arguments:
    """``inputs`` as named arguments; arrays in dicts are addressed as ``"params.W"``.

    ``floats`` has all that can be differentiated: address -> (argument, key in it, value).
    """

    def __init__(self, f: Callable[..., Any], inputs: Any, names: Any = None) -> None:
        self.notes: list[str] = []
        self.floats: dict[str, tuple[str, Any, Any]] = {}
        self.by_keyword = isinstance(inputs, Mapping)
        if self.by_keyword:
            given = {str(k): v for k, v in inputs.items()}
        else:
            values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
            given = dict(zip(_argument_names(f, len(values), names), values, strict=True))
        self.given: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, Mapping):
                kept = {k: self._kept(v, f"{name}.{k}", name, k) for k, v in value.items()}
                self.given[name] = kept
            else:
                self.given[name] = self._kept(value, name, name, None)

    def _kept(self, value: Any, address: str, name: str, key: Any) -> Any:
        """A copy, float32 as float64."""
        if isinstance(value, (np.ndarray, np.floating)) and value.dtype.kind == "f":
            if value.dtype != np.float64:
                text = f"{address} is {value.dtype}: it was converted to float64 for the check."
                self.notes.append(text)
            value = np.array(value, dtype=np.float64)
        elif isinstance(value, np.ndarray):
            return value.copy()
        if isinstance(value, (np.ndarray, float)):
            self.floats[address] = (name, key, value)
        return value

    def filled(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Every argument, with the arrays of ``{"x": ..., "params.W": ...}``; else fresh copies."""

        def fill(value: Any, address: str) -> Any:
            return point.get(address, value.copy() if isinstance(value, np.ndarray) else value)

        return {
            name: {k: fill(v, f"{name}.{k}") for k, v in value.items()}
            if isinstance(value, Mapping)
            else fill(value, name)
            for name, value in self.given.items()
        }

    def moved(self, rng: np.random.Generator) -> dict[str, Any]:
        """Every argument, with every float array a little elsewhere."""
        arrays = {at: a for at, (_, _, a) in self.floats.items() if isinstance(a, np.ndarray)}
        return self.filled(
            {at: a + 0.01 * (1.0 + np.abs(a)) * rng.random(a.shape) for at, a in arrays.items()}
        )

    def call(self, f: Callable[..., Any], values: dict[str, Any]) -> Any:
        """F of the arguments, passed as the inputs were given."""
        return f(**values) if self.by_keyword else f(*values.values())

    def by_name(self, cotangents: Any) -> dict[str, Any]:
        """What the backward returned, by argument name."""
        names = list(self.given)
        one_dict = len(names) == 1 and isinstance(self.given[names[0]], Mapping)
        if isinstance(cotangents, Mapping) and not one_dict:
            unknown = ", ".join(sorted({str(k) for k in cotangents} - set(names)))
            if unknown:
                known = ", ".join(names)
                raise ValueError(f"f_backward returned cotangents for {unknown}: f has {known}")
            return {name: cotangents.get(name) for name in names}
        if not isinstance(cotangents, (tuple, list)):
            floats = list(dict.fromkeys(name for name, _, _ in self.floats.values()))
            if len(floats) > 1:
                raise ValueError(
                    f"f has {len(names)} inputs ({', '.join(names)}), but f_backward returned one "
                    "object and not a tuple of cotangents in the same order"
                )
            return {name: cotangents if name == (floats or names)[0] else None for name in names}
        if len(cotangents) != len(names):
            raise ValueError(
                f"f has {len(names)} inputs ({', '.join(names)}), but f_backward returned "
                f"{len(cotangents)} cotangents: return None for an input that is not differentiated"
            )
        return dict(zip(names, cotangents, strict=True))

    def select(self, cotangents: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The differentiated arrays and their cotangents, by address."""
        theta: dict[str, Any] = {}
        grad: dict[str, Any] = {}
        for address, (name, key, value) in self.floats.items():
            cotangent = cotangents[name]
            if cotangent is not None:
                parts = cotangent if isinstance(cotangent, Mapping) else {}
                theta[address], grad[address] = value, cotangent if key is None else parts.get(key)
        for name, cotangent in cotangents.items():
            is_float = any(top == name for top, _, _ in self.floats.values())
            if cotangent is not None and not is_float:
                text = f"{name} is no array of floats: its cotangent was not checked."
                self.notes.append(text)
            if cotangent is None and is_float and not isinstance(self.given[name], float):
                text = f"No cotangent came for {name} (None): it was taken as a constant."
                self.notes.append(text)
        return theta, grad


def _argument_names(f: Callable[..., Any], n: int, names: Any) -> list[str]:
    if names is not None:
        chosen = [str(name) for name in names]
        if len(chosen) != n or len(set(chosen)) != n:
            raise ValueError(f"names must be {n} different names, one for each input, not {chosen}")
        return chosen
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (plain + [f"input {i}" for i in range(len(plain), n)])[:n]
