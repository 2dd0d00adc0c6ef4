"""What is measured of f at theta (value, noise, natural units), and the gradient under test.

No verdict may depend on the units in which f and theta are measured. Steps, bounds and tolerances
are therefore multiples of these numbers, and never of one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .differences import EPS
from .points import Array, Block, Vector, as_scalar, snapshot
from .slopes import STEP, Evaluator, Notes, bounded_slope

GOLDEN = 0.5 * (5.0**0.5 - 1.0)
ZERO = 1e-20  # a parameter this close to zero says nothing of its unit
# Where to look for a parameter's unit: small weights may need larger steps, zeros tell nothing.
LARGER = (1.0, 2.0**8, 2.0**16)
ANY = (1.0, *(2.0 ** (sign * k) for k in (8, 16, 24, 32, 40, 48) for sign in (-1, 1)))
STATES = {
    "accumulates": "The second call of {} doubles the first: it adds to the first one. Set "
    "gradients to zero at the start of the backward pass.",
    "stale cache": "{} uses the last forward call of f, and not the cache that belongs to theta: a "
    "stale cache.",
    "not deterministic": "{} is not deterministic: two calls at the same theta differ, while f is. "
    "Does the backward pass draw new noise, or keep a state?",
}


@dataclass(frozen=True)
class Sample:
    """What was measured of f at theta, and random directions in the units that were found.

    f      the function itself
    value  f(theta)
    eps    the relative precision in which f computes
    noise  the error of one value of f
    slope  of f along a random direction of natural steps, in the units of f
    units  the natural size of a step in each entry, (P,)
    """

    f: Evaluator
    value: float
    eps: float
    noise: float
    slope: float
    units: Vector
    rng: np.random.Generator

    def signs(self, n: int) -> Vector:
        """Random signs, (n,)."""
        return (2 * self.rng.integers(0, 2, n, dtype=np.int8) - 1).astype(np.float64)

    def direction(self, indices: NDArray[np.intp] | None = None) -> Vector:
        """Random signs times each entry's natural step, of about unit length; zero elsewhere."""
        v = np.zeros(self.units.size)
        where = np.arange(v.size) if indices is None else indices
        v[where] = self.signs(where.size) * self.units[where] / np.sqrt(where.size)
        return v

    def uneven(self, indices: NDArray[np.intp]) -> Vector:
        """A direction of unequal steps: slopes or kinks of two entries do not cancel along it."""
        size = 1.0 - 0.5 * np.modf(GOLDEN * np.arange(self.units.size))[0]
        return np.asarray(size * self.direction(indices))


def sample_f(calls: Evaluator, rng: np.random.Generator, notes: Notes) -> Sample:
    """Look at f at theta and beside it: is it finite, deterministic, and does it leave theta alone?

    Where it is not, the notes say so; then the numbers say nothing.
    """
    value, eps = _first_look(calls, notes)
    sample = Sample(calls, value, eps, eps * abs(value), 0.0, _typical_sizes(calls), rng)
    if not np.isfinite(value):
        notes.cannot_tell(
            f"f(theta) is {value}: there is no gradient to compare with at this point."
        )
    else:
        _same_again(sample, notes, "f is not deterministic: two calls at the same theta gave")
    bad = np.flatnonzero(~np.isfinite(calls.point.vector))
    if not calls.point.size:
        notes.cannot_tell("theta has no entries: there is nothing to check.")
    elif bad.size:
        entry, number = calls.point.entry(int(bad[0])), calls.point.vector[bad[0]]
        notes.cannot_tell(f"theta is not finite: {entry} is {number}.")
    return sample if notes.unknown else _measured(sample, notes)


def _first_look(calls: Evaluator, notes: Notes) -> tuple[float, float]:
    """f(theta), and the precision that its dtype allows."""
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn"):
        warnings.simplefilter("always")
        value = calls(calls.real)
    for message in caught:
        if issubclass(message.category, RuntimeWarning):
            notes.warn(f"f at theta gives a RuntimeWarning: {message.message}.")
    calls.look_for_writing(notes)
    if isinstance(value, complex):
        raise TypeError("f returned a complex number for real theta: it must return a real one")
    if not np.isfinite(value) or calls.value_dtype not in (np.float32, np.float16):
        return float(value), EPS
    eps = float(np.finfo(calls.value_dtype).eps)
    notes.warn(
        f"f computes in {calls.value_dtype} although theta is float64: its values are good to "
        f"{eps:.0e} only. Keep theta's dtype inside f."
    )
    return float(value), eps


def _typical_sizes(calls: Evaluator) -> Vector:
    """|theta|, but at least the median of its parameter's entries that are not zero, (P,)."""
    size = np.abs(calls.point.vector)
    size[size <= ZERO] = 0.0
    for block in calls.point.blocks:
        here = size[block.indices]
        if here.any():
            size[block.indices] = np.maximum(here, np.median(here[here > 0.0]))
    return size


def look_again(sample: Sample, notes: Notes) -> None:
    """At the end of a check: f(theta) must be what it was, and theta too."""
    sample.f.look_for_writing(notes)
    if not notes.unknown:
        text = "f keeps a state: f(theta) at the start and at the end of the check gave"
        _same_again(sample, notes, text)


def _same_again(sample: Sample, notes: Notes, text: str) -> None:
    again = sample.f.at(sample.f.point.vector)
    if not abs(again - sample.value) <= 64.0 * sample.eps * abs(sample.value):
        raised = f" f raised {sample.f.raised}." if np.isnan(again) and sample.f.raised else ""
        notes.cannot_tell(
            f"{text} {sample.value!r} and {again!r}.{raised} If f draws new noise at each call: "
            "draw it once, and pass it in."
        )


def _measured(sample: Sample, notes: Notes) -> Sample:
    """The sample with its noise, slope and units. The sizes of theta are the first guess of them.

    An f that is the same number near theta and far from it does not look at its argument.
    """
    typical, f = sample.units, sample.f
    sample = _with_noise(sample, notes)
    sample = replace(sample, units=np.where(typical > 0.0, typical, 1.0))
    if notes.unknown:
        return sample
    units = sample.units.copy()
    for block in f.point.blocks:
        units[block.indices] *= _factor(sample, block)
    sample = replace(sample, units=units)
    if not np.any(typical):
        f.forget_raised()
        sample = _with_noise(sample, notes)  # now that a step is known
    if sample.slope == 0.0:
        phi = f.along(sample.uneven(np.arange(f.point.size)))
        if all(phi(t) == sample.value for t in (1.0, -1.0, 64.0, -64.0)):
            notes.cannot_tell(
                f"f does not change with theta: it is {sample.value!r} near theta and far from it. "
                "See that f uses its argument and not a global copy."
            )
    f.forget_raised()
    return sample


def _factor(sample: Sample, block: Block) -> float:
    """By how much the steps of a parameter are better larger or smaller; 1 where none is better.

    Over too large a step the slope changes by more than 3 %, with too small a one more than 1e-7 of
    it is rounding.
    """
    at_zero = not np.any(np.abs(sample.f.point.vector[block.indices]) > ZERO)
    factors, enough = (ANY, 0.01) if at_zero else (LARGER, 1.0)
    phi = sample.f.along(sample.uneven(block.indices))
    badness: list[float] = []
    for factor in factors:
        slope = bounded_slope(phi, sample.value, factor * STEP, sample.noise)
        changes, rounding = max(abs(slope.gap), slope.bound), 3.0 * sample.noise / slope.h
        bad = max(changes / 0.03, rounding / 1e-7) / (abs(slope.value) or np.nan)
        badness.append(bad if bad <= 1.0 else np.inf)
        if bad <= enough:
            break
    return factors[int(np.argmin(badness))]


def _with_noise(sample: Sample, notes: Notes) -> Sample:
    """The sample with a slope, and the noise of f: its own, and what the rounding of theta does."""
    error, slope = _from_differences(sample)
    eps, natural = sample.eps, max(abs(sample.value), slope)
    if natural > 0.0 and error > 1e4 * EPS * natural and eps == EPS:
        eps = error / natural
        in_single = " It seems to compute in float32 somewhere." if 1e-9 < eps < 1e-5 else ""
        notes.warn(
            f"f is noisy: its values carry an error of about {error:.0e}, {eps:.0e} relative."
            f"{in_single}"
        )
    noise = max(3.0 * error, eps * abs(sample.value))
    sample = replace(sample, eps=eps, noise=noise, slope=slope)
    return replace(sample, noise=max(noise, _from_rounding(sample, notes)))


def _from_differences(sample: Sample) -> tuple[float, float]:
    """The noise from a table of differences (More & Wild 2011), and the size of f's slope.

    Differences of high order wipe out whatever is smooth, over seven points 1e-6 apart; what they
    leave is the noise, with k-th differences of independent errors s having the mean square s^2
    (2k)! / (k!)^2. The points are beside theta, where f may well have a kink.
    """
    smallest, slope = np.inf, 0.0
    phi = sample.f.along(sample.direction())
    for side in (2.0**-9, -(2.0**-10)):
        table = np.array([phi(side + j * 2.0**-20) for j in range(7)])
        slope = np.fmax(slope, abs(table[6] - table[0]) / (6.0 * 2.0**-20))
        shares = ((4, 70.0), (5, 252.0), (6, 924.0))
        squares = [np.mean(np.diff(table, k) ** 2) / share for k, share in shares]
        smallest = np.fmin(smallest, np.sqrt(max(squares)))
    return float(smallest) if np.isfinite(smallest) else 0.0, float(slope)


def _from_rounding(sample: Sample, notes: Notes) -> float:
    """How far f moves when theta moves by its own rounding.

    Where that is far more than eps times the slope, f jumps, or is singular closer to theta than
    any step of a difference.
    """
    largest = 0.0
    for _ in range(2):
        phi = sample.f.along(sample.f.point.vector * sample.signs(sample.f.point.size))
        moved = abs(phi(2.0 * EPS) - sample.value)
        slopes = [abs(phi(h) - phi(-h)) / (2.0 * h) for h in (STEP, 2.0**-12 * STEP)]
        if moved > 100.0 * (sample.noise + 4.0 * EPS * max(slopes)):
            notes.cannot_tell(
                f"Rounding theta alone changes f by {moved:.0e}: f jumps at theta, or is nearly "
                "singular there, and no difference can be trusted."
            )
        largest = max(largest, moved) if np.isfinite(moved) else largest
    return float(largest)


@dataclass(frozen=True)
class Candidate:
    """The gradient under test: flat, with what is wrong about its form.

    problems   parameter -> what is wrong with the form of its gradient
    misfits    parameter -> its gradient in the shape in which it came, where that is a wrong one
    eps        the precision of the gradient's dtype, where that is less than float64's and may be
    is_narrow  whether its dtype is less than float64
    call       how its caller gets it
    """

    vector: Vector
    problems: dict[str, str]
    misfits: dict[str, Array]
    eps: float = 0.0
    is_narrow: bool = False
    call: str = "grad"


def collect(sample: Sample, grad: Any, notes: Notes, name: str = "grad") -> Candidate:
    """The gradient as a flat vector; a function is called again after f was called elsewhere."""
    if not callable(grad):
        return _as_candidate(sample, _without_value(sample, grad, notes), notes)
    f, theta = sample.f, sample.f.point.vector

    def call() -> Any:
        vector = theta.copy()
        raw = grad(f.point.structure(vector))
        if not np.array_equal(vector, theta, equal_nan=True):
            notes.fail("changes theta", f"{name} changes theta in place: it must work on a copy.")
        return _without_value(sample, snapshot(raw), notes)  # it may reuse its buffer

    def again() -> Vector:  # in units in which no parameter hides behind a steeper one
        return sample.units * f.point.flatten(call())[0]

    f.at(theta)  # f at theta comes before grad, as for a caller of both
    candidate = _as_candidate(sample, call(), notes)
    if not notes.unknown and np.all(np.isfinite(candidate.vector)):
        pattern = _state_of(sample, again, sample.units * candidate.vector)
        if pattern:
            notes.fail(pattern, STATES[pattern].format(name))
    return replace(candidate, call=f"{name}(theta)")


def _state_of(sample: Sample, again: Callable[[], Vector], first: Vector) -> str:
    """What a second call says of a gradient that must not depend on the calls before; "" if not."""
    f, theta = sample.f, sample.f.point.vector
    f.at(theta + 2.0**-5 * sample.direction())
    second = again()
    if repeats(second, first):
        return ""
    if repeats(second, first, 2.0):
        return "accumulates"
    f.at(theta)
    return "stale cache" if repeats(again(), first) else "not deterministic"


def repeats(second: Vector, first: Vector, factor: float = 1.0) -> bool:
    """Whether a second call gave ``factor`` times the first, entry by entry."""
    wanted = factor * first
    near = 1e-6 * np.abs(wanted) + 1e-9 * np.max(np.abs(wanted), initial=0.0)
    return bool(np.all(np.abs(second - wanted) <= near))


def _without_value(sample: Sample, raw: Any, notes: Notes) -> Any:
    """The gradient of ``(value, gradient)``, as loss_and_grad returns it; value is compared."""
    is_pair = isinstance(raw, tuple) and len(raw) == 2 and np.size(raw[0]) == 1
    if not is_pair or np.ndim(raw[0]) != 0:
        return raw
    point = sample.f.point
    if point.shapes == [(2,)] and np.ndim(raw[1]) == 0 and not point.is_dict:
        return raw  # the two numbers of a gradient
    value = as_scalar(raw[0])
    near = 1e-9 * abs(sample.value) + 100.0 * sample.noise
    if np.isfinite(sample.value) and abs(value - sample.value) > near:
        notes.warn(
            f"The value returned beside the gradient is {value!r}, but f(theta) is "
            f"{sample.value!r}."
        )
    return raw[1]


def _as_candidate(sample: Sample, raw: Any, notes: Notes) -> Candidate:
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
            text = "an integer buffer cuts off what is behind the point."
            notes.warn(f"The gradient{where} is {kind}: {text}")
    return Candidate(*sample.f.point.flatten(raw), eps, is_narrow)
