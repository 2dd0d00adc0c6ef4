"""The arguments of a forward function: their names, and which of them are differentiated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["Arguments"]


class Arguments:
    """``inputs`` as named arguments; arrays in dicts are addressed as ``"params.W"``."""

    def __init__(self, f: Callable[..., Any], inputs: Any, names: Any = None) -> None:
        self.notes: list[str] = []
        self.by_keyword = isinstance(inputs, Mapping)
        if self.by_keyword:
            given = {str(k): v for k, v in inputs.items()}
        else:
            values = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
            given = dict(zip(_argument_names(f, len(values), names), values, strict=True))
        self.given = {name: self._widened(value, name) for name, value in given.items()}

    def _widened(self, value: Any, name: str) -> Any:
        """A copy, float32 as float64."""
        if isinstance(value, Mapping):
            return {k: self._widened(v, f"{name}.{k}") for k, v in value.items()}
        if isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind == "f":
            if value.dtype != np.float64:
                self.notes.append(
                    f"{name} is {value.dtype}: it was converted to float64 for the check."
                )
            return np.array(value, dtype=np.float64)
        return np.array(value) if isinstance(value, np.ndarray) else value

    def values(self) -> dict[str, Any]:
        """A fresh copy of every argument."""
        return {k: self._copied(v) for k, v in self.given.items()}

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: self._copied(v) for k, v in value.items()}
        return value.copy() if isinstance(value, np.ndarray) else value

    def moved(self, rng: np.random.Generator) -> dict[str, Any]:
        """Every float array a little elsewhere."""

        def move(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {k: move(v) for k, v in value.items()}
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                return value + 0.01 * (1.0 + np.abs(value)) * rng.uniform(0.0, 1.0, value.shape)
            return value

        return {k: move(v) for k, v in self.given.items()}

    def _filled(self, point: Mapping[str, Any]) -> list[Any]:
        """The arguments, with the arrays of ``{"x": ..., "params.W": ...}`` in their places."""
        filled: list[Any] = []
        for name, value in self.given.items():
            if isinstance(value, Mapping) and name not in point:
                filled.append({k: point.get(f"{name}.{k}", v) for k, v in value.items()})
            else:
                filled.append(point.get(name, value))
        return filled

    def positional(self, point: Mapping[str, Any]) -> list[Any]:
        """What to pass by position."""
        return [] if self.by_keyword else self._filled(point)

    def keywords(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """What to pass by name."""
        return dict(zip(self.given, self._filled(point), strict=True)) if self.by_keyword else {}

    def by_name(self, cotangents: Any) -> dict[str, Any]:
        """What the backward returned, by argument name."""
        names = list(self.given)
        if isinstance(cotangents, Mapping) and not (
            len(names) == 1 and isinstance(self.given[names[0]], Mapping)
        ):
            unknown = sorted({str(k) for k in cotangents} - set(names))
            if unknown:
                raise ValueError(
                    f"f_backward returned cotangents for {', '.join(unknown)}: f has "
                    f"{', '.join(names)}"
                )
            return {name: cotangents.get(name) for name in names}
        if not isinstance(cotangents, (tuple, list)):
            floats = [name for name in names if self._is_differentiable(self.given[name])]
            if len(names) > 1 and len(floats) > 1:
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

    @staticmethod
    def _is_differentiable(value: Any) -> bool:
        return isinstance(value, (float, Mapping)) or (
            isinstance(value, np.ndarray) and value.dtype.kind == "f"
        )

    def select(self, cotangents: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The differentiated arrays and their cotangents, flat by name."""
        theta: dict[str, Any] = {}
        grad: dict[str, Any] = {}
        for name, value in self.given.items():
            cotangent = cotangents[name]
            if not self._is_differentiable(value):
                if cotangent is not None:
                    self.notes.append(
                        f"{name} is no array of floats: its cotangent was not checked."
                    )
            elif cotangent is None:
                if not isinstance(value, float):
                    self.notes.append(
                        f"No cotangent came for {name} (None): it was taken as a constant."
                    )
            elif isinstance(value, Mapping):
                for key, array in value.items():
                    if self._is_differentiable(array):
                        theta[f"{name}.{key}"] = array
                        grad[f"{name}.{key}"] = (
                            cotangent.get(key) if isinstance(cotangent, Mapping) else None
                        )
            else:
                theta[name], grad[name] = value, cotangent
        return theta, grad


def _argument_names(f: Callable[..., Any], n: int, names: Any) -> list[str]:
    if names is not None:
        chosen = [str(name) for name in names]
        if len(chosen) != n or len(set(chosen)) != n:
            raise ValueError(f"names must be {n} different names, one for each input, not {chosen}")
        return chosen
    import inspect

    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (plain + [f"input {i}" for i in range(len(plain), n)])[:n]
