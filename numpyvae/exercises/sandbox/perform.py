"""Call the functions of an exercise at given places, and hand out all that they return.

The same steps are taken with the reference (in the grader's process) and with a student's file (in
a process of its own, see `child`). This file imports NumPy alone.
"""

from __future__ import annotations

import copy
import difflib
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, wraps
from types import CodeType, FunctionType
from typing import Any

import numpy as np

__all__ = [
    "LARGEST_RESULT",
    "PRINTED",
    "Call",
    "Emit",
    "Given",
    "Note",
    "array_names",
    "describe",
    "group",
    "load",
    "perform",
]

PRINTED = 2**22  # bytes that a file may print
SAID_CHARACTERS = 200  # of an error's own text
LARGEST_RESULT = 2**17  # bytes; the right ones have a few hundred, and in exercise 9 10,000
Arrays = Mapping[str, Any]
Given = tuple[str, CodeType, Sequence[str]]  # module, its code, functions that others may use
Call = Mapping[str, Any]  # "function", "arguments", "outputs", "gradients", "derives", "places"
Emit = Callable[[str, Any], None]  # (name, array)
Note = Callable[[str, str, str], None]  # (function, kind, text)


def load(source: str, file: str, given: Iterable[Given], modules: dict[str, Any]) -> dict[str, Any]:
    """Run a student's source as the module of its name in `modules`; its names."""
    _give(given, modules)
    module = modules[file.removesuffix(".py")] = type(np)(file.removesuffix(".py"))
    module.__file__ = file
    exec(_compiled(source, file), module.__dict__)
    return module.__dict__


def _give(given: Iterable[Given], modules: dict[str, Any]) -> None:
    """Make the module `given`, and one for each earlier file, of the functions listed alone.

    The modules in which the solutions ran have no name. Their code has no text.
    """
    module = modules["given"] = type(np)("given")
    for file, code, listed in given:
        names: dict[str, Any] = {"__name__": file}
        exec(code, names)
        own = modules[file] = type(np)(file)
        for name in listed:
            setattr(own, name, names[name])
            setattr(module, name, names[name])


@lru_cache(maxsize=4096)  # all mistakes, alone and in pairs, are about 1,200
def _compiled(source: str, file: str) -> CodeType:
    return compile(source, file, "exec", dont_inherit=True)


def perform(
    names: dict[str, Any], calls: Sequence[Call], arrays: Arrays, emit: Emit, note: Note
) -> None:
    """Call every function at every place; `emit` each array, `note` what went wrong.

    All forward passes come first, so that no backward can cost their marks. Then a pair is called
    so that wrongly kept state shows: forward again ("again"), backward twice with one cotangent,
    and once more after a forward pass at the next place ("later"). Arguments are handed out as they
    are after each call ("after", "after backward"), and so is what was seen of forward calls while
    a gradient was calculated ("forward calls"). A call marked "once" gives its value and no more.
    """
    count, file = _Counter(names, calls), names.get("__file__", "")
    for call in calls:
        f, backward = names.get(call["function"]), names.get(f"{call['function']}_backward")
        f, backward = f if call["gradients"] else count.during(f), count.during(backward)
        work = [_Work(call, i, arrays, emit, note, file) for i in range(call["places"])]
        good = [here for here in work if here.try_forward(f, count)]
        for here in good if call["gradients"] else ():
            _, cache, arguments = here.forward(f, "again/")
            here.backward(backward, count, cache, "")
            here.look_at("after backward", arguments)
            here.backward(backward, count, cache, "again/")
            work[(work.index(here) + 1) % len(work)].forward(f, None)
            here.backward(backward, count, cache, "later/")
        for here in good if not (call["gradients"] or call.get("once")) else ():
            here.forward(f, "again/")
    _note_missing(names, calls, note)


def array_names(call: Call, arrays: Arrays) -> Iterator[str]:
    """Every name under which `perform` may emit an array for this call."""
    for place in range(call["places"]):
        start = f"{call['function']}/{place}/"
        for name in call["outputs"]:
            for repeat in ("", "again/"):
                yield from (f"{start}{repeat}{n}" for n in _keys(name, start, arrays))
        for name in call["gradients"]:
            for repeat in ("", "again/", "later/"):
                yield from (f"{start}{repeat}{n}" for n in _keys(name, start, arrays))
        given = [n[len(start) :] for n in arrays if n.startswith(start)]
        yield from (f"{start}after/{n}" for n in given if n.split("/")[0] in call["arguments"])
        if call["gradients"]:
            yield from (f"{start}after backward/{n}" for n in given)
        if call["derives"]:
            yield f"{start}forward calls"


def _note_missing(names: dict[str, Any], calls: Sequence[Call], note: Note) -> None:
    """Which functions are not there, and what is there instead: the last note of them."""
    wanted = [c["function"] for c in calls]
    wanted += [f"{c['function']}_backward" for c in calls if c["gradients"]]
    own = [n for n, v in names.items() if getattr(v, "__module__", 0) == names.get("__name__")]
    others = [n[:60] for n in own if callable(names[n]) and n not in wanted]
    for name in wanted:
        if not callable(names.get(name)):
            near = difflib.get_close_matches(name, others, 1) or others[:5]
            there = f"; there is {', '.join(near)}" if near else ""
            note(name, "missing", f"is not defined in the file{there}")


def _keys(name: str, start: str, arrays: Arrays) -> list[str]:
    """A result's own name, or one name for each key where the argument it belongs to is a dict."""
    argument = {"trained": "params"}.get(name, name[1:])
    keys = [n[len(start + argument) :] for n in arrays if n.startswith(f"{start}{argument}/")]
    return [name + key for key in keys] if keys else [name]


class _Counter:
    """The forward functions of a file, watched while a gradient is calculated.

    A numerical derivative calls them with numbers a little beside those of the call before, or with
    complex ones. `seen` counts calls, those close by, and those with complex numbers.
    """

    def __init__(self, names: dict[str, Any], calls: Sequence[Call]) -> None:
        self.seen, self._watching, self._last = np.zeros(3, int), False, np.zeros(0)
        for call in calls:
            original = names.get(call["function"])
            if isinstance(original, FunctionType):
                names[call["function"]] = self._watched(original)

    def _watched(self, original: FunctionType) -> Any:
        @wraps(original)
        def f(*arguments: Any, **keywords: Any) -> Any:
            if self._watching:
                self._look_at([*arguments, *keywords.values()])
            return original(*arguments, **keywords)

        return f

    def during(self, f: Any) -> Any:
        """f, while which forward functions are watched."""

        def watched(*arguments: Any) -> Any:
            self.seen[:], self._watching, self._last = 0, True, np.zeros(0)
            try:
                return f(*arguments)
            finally:
                self._watching = False

        return watched if callable(f) else f

    def _look_at(self, arguments: list[Any]) -> None:
        flat = [a for value in arguments for _, a in _flat("", value)]
        try:
            numbers = np.concatenate([np.ravel(a) for a in flat]).astype(complex)
        except (TypeError, ValueError):  # no numbers
            numbers = np.zeros(0)
        self.seen += [1, self._is_close(numbers), bool(numbers.imag.any())]
        self._last = numbers

    def _is_close(self, numbers: Any) -> bool:
        if numbers.shape != self._last.shape or not numbers.size:
            return False
        moved = np.abs(numbers - self._last).max()
        return bool(0.0 < moved < 1e-3 * np.abs(numbers).max())


def group(named: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments from named arrays: "params/W" goes into the dict params, shape () is a number."""
    out: dict[str, Any] = {}
    for name, array in named.items():
        value = array.item() if array.ndim == 0 else array
        outer, _, key = name.partition("/")
        if key:
            out.setdefault(outer, {})[key] = value
        else:
            out[name] = value
    return out


class _Work:
    """One function at one place."""

    def __init__(
        self, call: Call, place: int, arrays: Arrays, emit: Emit, note: Note, file: str
    ) -> None:
        self.call, self._emit, self._note, self._file = call, emit, note, file
        self.start = f"{call['function']}/{place}/"
        names = [n for n in arrays if n.startswith(self.start)]
        values = {n[len(self.start) :]: np.array(arrays[n]) for n in names}
        self.keys = {o: _keys(o, self.start, arrays) for o in self._results()}
        self.arguments = group(values)
        self.cotangent = self.arguments.get(f"d{call['outputs'][0]}")

    def _results(self) -> list[str]:
        return [*self.call["outputs"], *self.call["gradients"]]

    def try_forward(self, f: Any, count: _Counter) -> bool:
        """The first forward pass, and the arguments after it. Whether there is a value."""
        value, _, arguments = self.forward(f, "")
        if value is not None:
            if self.call["derives"] and not self.call["gradients"]:
                self._emit(f"{self.start}forward calls", count.seen)
            if not self.call.get("once"):
                self.look_at("after", arguments)
        return value is not None

    def forward(self, f: Any, repeat: str | None) -> tuple[Any, Any, Any]:
        """The value (None if there is none), the cache, and the arguments after the call.

        `repeat` says how the value is called when it is handed out; None keeps it here.
        """
        arguments = [copy.deepcopy(self.arguments[name]) for name in self.call["arguments"]]
        returned = self._try(self.call["function"], f, *arguments)
        if returned is None:
            return None, None, None
        if self.call["gradients"]:
            if not (isinstance(returned, tuple | list) and len(returned) == 2):
                self._say(self.call["function"], "form", f"(value, cache), got {_what(returned)}")
                return None, None, None
            values, cache = (returned[0],), returned[1]
        else:
            values, cache = _as_tuple(returned, len(self.call["outputs"])), None
        if repeat is not None:
            self._hand_out(self.call["function"], self.call["outputs"], values, repeat, returned)
        return values, cache, arguments

    def backward(self, f: Any, count: _Counter, cache: Any, repeat: str) -> None:
        name, gradients = f"{self.call['function']}_backward", self.call["gradients"]
        cotangent = copy.deepcopy(self.cotangent)
        returned = self._try(name, f, cotangent, cache)
        if returned is None:
            return
        if not repeat:
            self._emit(f"{self.start}forward calls", count.seen)
            name_of_cotangent = f"d{self.call['outputs'][0]}"
            self._emit(f"{self.start}after backward/{name_of_cotangent}", np.asarray(cotangent))
        self._hand_out(name, gradients, _as_tuple(returned, len(gradients)), repeat, returned)

    def look_at(self, when: str, arguments: Any) -> None:
        for name, value in zip(self.call["arguments"], arguments, strict=True):
            for key, array in _flat(name, value):
                self._emit(f"{self.start}{when}/{key}", np.asarray(array))

    def _try(self, name: str, f: Any, *arguments: Any) -> Any:
        if not callable(f):
            return self._say(name, "missing", "is not defined in the file")
        try:
            returned = f(*arguments)
        except NotImplementedError as error:
            return self._say(name, "not done", str(error))
        except Exception as error:
            return self._say(name, "error", describe(error, self._file))
        if returned is None:
            self._say(name, "form", "a result, got None: is a return missing at the end?")
        return returned

    def _hand_out(self, name: str, results: Any, values: Any, repeat: str, returned: Any) -> None:
        if values is None or len(values) != len(results):
            many = f"{len(results)} results ({', '.join(results)})"
            wanted = many if len(results) > 1 else f"one result ({results[0]})"
            self._say(name, "form", f"{wanted}, got {_what(returned)}")
            return
        for result, value in zip(results, values, strict=True):
            if isinstance(value, Mapping):
                named = {f"{result}/{key}": array for key, array in value.items()}
            else:
                named = {result: value}
            expected = self.keys[result]
            if set(named) != set(expected):
                self._say(name, "form", _other_form(result, expected, value))
                continue
            for key in expected:
                array = np.asarray(named[key])
                if array.dtype.kind not in "biuf":
                    self._say(name, "form", f"real numbers in {key}, got {_what(named[key])}")
                    continue
                if array.nbytes > LARGEST_RESULT:
                    text = f"an array {key} of a few numbers, got one with shape {array.shape}"
                    self._say(name, "form", text)
                    continue
                self._emit(f"{self.start}{repeat}{key}", array)

    def _say(self, name: str, kind: str, text: str) -> None:
        self._note(name, kind, text)


def _other_form(result: str, expected: Sequence[str], value: Any) -> str:
    """What is expected instead of an array, or of a dict with other keys."""
    if "/" not in expected[0]:
        return f"an array {result}, got {_what(value)}"
    right = [key.partition("/")[2] for key in expected]
    if not isinstance(value, Mapping):
        return f"a dict {result} with keys {', '.join(right)}, got {_what(value)}"
    yours = [str(key)[:60] for key in value]
    said = [f"{key} is missing" for key in right if key not in yours]
    said += [f"{key} is unknown" for key in yours if key not in right]
    more = f" and {len(said) - 6} more" if len(said) > 6 else ""
    return f"the keys of the exercise in {result}: {', '.join(said[:6])}{more}"


def _as_tuple(returned: Any, n: int) -> Any:
    if isinstance(returned, tuple | list):
        return tuple(returned)
    return (returned,) if n == 1 else None


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [(f"{name}/{key}", array) for key, array in value.items()]
    return [(name, value)]


def describe(error: BaseException, file: str = "") -> str:
    """An exception in words, in one line: its type, its message, the line of `file`, what helps."""
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return f"it printed more than {PRINTED >> 20} MiB{last_line(error, file)}"
    said = " ".join(str(error).split())
    said = f": {said:.{SAID_CHARACTERS}}" if said else ""
    text = f"{type(error).__name__}{said}{last_line(error, file)}"
    near = getattr(error, "name", None)
    if isinstance(error, ImportError):
        text += ". A file may import numpy, math and given, and other modules that come with Python"
    elif isinstance(error, NameError) and near and error.__traceback__:
        frame = error.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        known = [*frame.tb_frame.f_locals, *frame.tb_frame.f_globals]
        close = difflib.get_close_matches(near, known, 1)
        text += f". Did you mean {close[0]!r}?" if close else ""
    return text


def last_line(error: BaseException, file: str) -> str:
    """The last line of the student's file that an error came through."""
    line, frame = "", error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == file:
            line = f" (line {frame.tb_lineno} of {file})"
        frame = frame.tb_next
    return line


def _what(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} with shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Mapping):
        return f"a dict with keys {sorted(map(str, value))}"
    return f"a {type(value).__name__}"
