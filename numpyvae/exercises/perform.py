"""Call the functions of an exercise at given places, and hand out all that they return.

The same steps are taken with the reference (in the grader's process) and with a student's file (in
a process of its own, see `child`). This file imports NumPy alone.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

import numpy as np

__all__ = [
    "LARGEST_RESULT",
    "Emit",
    "Note",
    "array_names",
    "describe",
    "group",
    "load",
    "perform",
]

LARGEST_RESULT = 2**20  # bytes; the right ones have a few thousand
Arrays = Mapping[str, Any]
Call = Mapping[str, Any]  # "function", "arguments", "outputs", "gradients", "places"
Emit = Callable[[str, Any], None]  # (name, array)
Note = Callable[[str, str, str], None]  # (function, kind, text)


def load(sources: Mapping[str, str], modules: dict[str, Any]) -> dict[str, Any]:
    """Run the sources, each as the module of its name in `modules`; the last one's names."""
    names: dict[str, Any] = {}
    for file, source in sources.items():
        module = type(np)(file.removesuffix(".py"))
        module.__file__ = file
        modules[module.__name__] = module
        exec(_compiled(source, file), module.__dict__)
        names = module.__dict__
    return names


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
    are after each call ("after", "after backward"), and so is the number of forward calls during
    a backward ("forward calls").
    """
    for call in calls:
        count = _Counter(names, call["function"])
        work = [_Work(call, place, arrays, emit, note) for place in range(call["places"])]
        good = [here for here in work if here.try_forward(count.f)]
        for here in good if call["gradients"] else ():
            _, cache, arguments = here.forward(count.f, "again/")
            here.backward(count, cache, "")
            here.look_at("after backward", arguments)
            here.backward(count, cache, "again/")
            work[(work.index(here) + 1) % len(work)].forward(count.f, None)
            here.backward(count, cache, "later/")
        for here in good if not call["gradients"] else ():
            here.forward(count.f, "again/")
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
    """The student's f, counted: a numerical derivative calls it many times."""

    def __init__(self, names: dict[str, Any], function: str) -> None:
        self.calls, self.backward = 0, names.get(f"{function}_backward")
        self.f = original = names.get(function)
        if isinstance(original, FunctionType):

            def f(*arguments: Any, **keywords: Any) -> Any:
                self.calls += 1
                return original(*arguments, **keywords)

            names[function] = self.f = f


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

    def __init__(self, call: Call, place: int, arrays: Arrays, emit: Emit, note: Note) -> None:
        self.call, self._emit, self._note = call, emit, note
        self.start = f"{call['function']}/{place}/"
        names = [n for n in arrays if n.startswith(self.start)]
        values = {n[len(self.start) :]: np.array(arrays[n]) for n in names}
        self.keys = {o: _keys(o, self.start, arrays) for o in self._results()}
        self.arguments = group(values)
        self.cotangent = self.arguments.get(f"d{call['outputs'][0]}")

    def _results(self) -> list[str]:
        return [*self.call["outputs"], *self.call["gradients"]]

    def try_forward(self, f: Any) -> bool:
        """The first forward pass, and the arguments after it. Whether there is a value."""
        value, _, arguments = self.forward(f, "")
        if value is not None:
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

    def backward(self, count: _Counter, cache: Any, repeat: str) -> None:
        name, gradients = f"{self.call['function']}_backward", self.call["gradients"]
        calls, cotangent = count.calls, copy.deepcopy(self.cotangent)
        returned = self._try(name, count.backward, cotangent, cache)
        if returned is None:
            return
        if not repeat:
            self._emit(f"{self.start}forward calls", np.array(count.calls - calls))
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
            return self._say(name, "error", describe(error))
        if returned is None:
            self._say(name, "form", "a result, got None: is there a return at the end?")
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
                if array.dtype.kind not in "biuf" or array.nbytes > LARGEST_RESULT:
                    self._say(name, "form", f"real numbers in {key}, got {_what(named[key])}")
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


def describe(error: BaseException) -> str:
    """An exception in words: its type, its message, the student's line, and what helps."""
    text = f"{type(error).__name__}: {error}{last_line(error)}"
    near = getattr(error, "name", None)
    if isinstance(error, ImportError):
        text += ". A file may import numpy, math and given, and it runs with these alone"
    elif isinstance(error, NameError) and near and error.__traceback__:
        frame = error.__traceback__
        while frame.tb_next:
            frame = frame.tb_next
        known = [*frame.tb_frame.f_locals, *frame.tb_frame.f_globals]
        close = difflib.get_close_matches(near, known, 1)
        text += f". Did you mean {close[0]!r}?" if close else ""
    return text


def last_line(error: BaseException) -> str:
    """The last line of the student's file that an error came through."""
    line, frame = "", error.__traceback__
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if file.startswith("ex") and file.endswith(".py"):
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
