"""check_vjp: one forward/backward pair, every input.

A backward function computes a vector-Jacobian product: for a cotangent dvalue of f's value it
returns, for every input x, d sum(dvalue * f(x)) / dx. With a random dvalue this is an ordinary
gradient of an ordinary number, and any error of the backward shows in it (with probability one).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from .blas import one_blas_thread
from .checks import run
from .comparison import Settings
from .points import Point, changed, mapped, snapshot, what
from .report import GradientReport
from .slopes import Notes


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
        notes = Notes(arguments.notes)
        dvalue, cache, first = _first_call(f, f_backward, arguments, generator, notes)
        known = [first]

        def scalar(point: Mapping[str, Any]) -> Any:
            return _inner(dvalue, arguments.call(f, arguments.filled(point))[0])

        def grad(_: Any) -> dict[str, Any]:
            if known:
                return known.pop()
            return arguments.by_address(f_backward(snapshot(dvalue), cache), notes)

        point = Point({address: arguments.floats[address][2] for address in first})
        call = f"check_vjp({_name(f, 'f')}, {_name(f_backward, 'f_backward')}, inputs"
        reproduce = f"print({call}, {rng=}))" if isinstance(rng, int) else f"print({call}))"
        backward = first if notes.failures else grad  # what changes its cache is not called again
        return run(scalar, point, backward, settings, notes, generator, reproduce, "f_backward")


def _first_call(
    f: Any, f_backward: Any, arguments: _Arguments, rng: np.random.Generator, notes: Notes
) -> tuple[Any, Any, dict[str, Any]]:
    """A random cotangent, f's cache, and what the backward makes of both. Changes are told."""
    inputs = arguments.filled({})
    before = snapshot(inputs)
    out = arguments.call(f, inputs)
    if not (isinstance(out, tuple) and len(out) == 2):
        raise TypeError(f"f must return (value, cache), but it returned {what(out)}")
    names = [name for name in inputs if changed(before[name], inputs[name])]
    if names:
        notes.fail("changes input", f"f changes its input in place ({', '.join(names)}).")
    value, cache = out
    dvalue = mapped(lambda part: rng.standard_normal(_shape_of(part)), value)
    given = {"the cotangent it is given": snapshot(dvalue), "its cache": cache}
    given |= {"f's inputs": inputs, "f's value": value}
    before = snapshot(given)
    returned = f_backward(given["the cotangent it is given"], cache)
    first = snapshot(arguments.by_address(returned, notes))
    for name, now in given.items():
        if changed(before[name], now):
            pattern = "changes input" if "cotangent" in name else "changes cache"
            notes.fail(pattern, f"f_backward changes {name} in place.")
    return dvalue, cache, first


def _shape_of(value: Any) -> tuple[int, ...]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"f's value must be an array of real numbers, but it is {what(value)}")
    return array.shape


def _inner(dvalue: Any, value: Any) -> Any:
    """sum(dvalue * value) over everything."""
    if isinstance(dvalue, Mapping):
        return sum(_inner(dvalue[k], value[k]) for k in dvalue)
    if isinstance(dvalue, (tuple, list)):
        return sum(_inner(a, b) for a, b in zip(dvalue, value, strict=True))
    return np.sum(dvalue * np.asarray(value))


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
        self.given = self._each(given, self._kept)

    @staticmethod
    def _each(given: dict[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
        """``function(value, address, argument, key)`` of every value, in the same form."""
        values: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, Mapping):
                values[name] = {k: function(v, f"{name}.{k}", name, k) for k, v in value.items()}
            else:
                values[name] = function(value, name, name, None)
        return values

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

        def fill(value: Any, address: str, *_: Any) -> Any:
            return point.get(address, value.copy() if isinstance(value, np.ndarray) else value)

        return self._each(self.given, fill)

    def call(self, f: Callable[..., Any], values: dict[str, Any]) -> Any:
        """F of the arguments, passed as the inputs were given."""
        return f(**values) if self.by_keyword else f(*values.values())

    def by_name(self, cotangents: Any) -> dict[str, Any]:
        """What the backward returned, by argument name."""
        names, known = list(self.given), ", ".join(self.given)
        one_dict = len(names) == 1 and isinstance(self.given[names[0]], Mapping)
        if isinstance(cotangents, Mapping) and not one_dict:
            unknown = ", ".join(sorted({str(k) for k in cotangents} - set(names)))
            if unknown:
                raise ValueError(f"f_backward returned cotangents for {unknown}: f has {known}")
            return {name: cotangents.get(name) for name in names}
        if isinstance(cotangents, (tuple, list)):
            if len(cotangents) == len(names):
                return dict(zip(names, cotangents, strict=True))
            came, advice = f"{len(cotangents)} cotangents", "None for one that is a constant"
        else:
            floats = list(dict.fromkeys(name for name, _, _ in self.floats.values()))
            if len(floats) <= 1:
                only = (floats or names)[0]
                return {name: cotangents if name == only else None for name in names}
            came, advice = "one object", "in the same order"
        raise ValueError(
            f"f has {len(names)} inputs ({known}), but f_backward returned {came}: return a tuple "
            f"of a cotangent for each, {advice}"
        )

    def by_address(self, cotangents: Any, notes: Notes) -> dict[str, Any]:
        """What the backward returned, for all arrays that are differentiated; the rest is told."""
        named = self.by_name(cotangents)
        tops = {name for name, _, _ in self.floats.values()}
        for name, cotangent in named.items():
            if cotangent is not None and name not in tops:
                notes.warn(f"{name} is no array of floats: its cotangent was not checked.")
            if cotangent is None and name in tops and not isinstance(self.given[name], float):
                notes.warn(f"No cotangent came for {name} (None): it was taken as a constant.")
        found = {}
        for address, (name, key, _) in self.floats.items():
            cotangent = named[name]
            if cotangent is not None:
                parts = cotangent if isinstance(cotangent, Mapping) else {}
                found[address] = cotangent if key is None else parts.get(key)
        if not found:
            raise ValueError(
                "f_backward returned no cotangent for any input that is an array of floats"
            )
        return found


def _argument_names(f: Callable[..., Any], n: int, names: Any) -> list[str]:
    if names is not None:
        chosen = [str(name) for name in names]
        if len(chosen) != n or len(set(chosen)) != n:
            raise ValueError(f"names must be {n} different names, one for each input, not {chosen}")
        return chosen
    plain = []
    with suppress(TypeError, ValueError):  # some functions in C tell nothing of their arguments
        parameters = inspect.signature(f).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        plain = [p.name for p in parameters if p.kind in kinds]
    return (plain + [f"input {i}" for i in range(len(plain), n)])[:n]
