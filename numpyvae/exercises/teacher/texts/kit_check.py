"""Check your work: `python check.py` checks all exercises, `python check.py 3` one of them.

Your f is called with the numbers in expected/ and must return the values given there. Once it does,
your f_backward is compared with numerical differentiation of your own f (gradient_check/).
"""

import sys
import textwrap
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True  # what you saved a moment ago counts

from estimators import ESTIMATORS, NEEDS  # noqa: E402
from gradient_check import check_grad, check_vjp  # noqa: E402
from yours import EXERCISES, FUNCTIONS, OWN, YOURS, Wrong, module_of, where, your  # noqa: E402, F401

if OWN:
    ESTIMATORS, NEEDS = {}, {}
VALUE_TOLERANCE, GRADIENT_TOLERANCE = 1e-8, 4e-7  # relative: to the largest entry, to each entry


@cache
def numbers(kind, name, place):
    """The "given" or the "expected" numbers of a function: argument or output -> array."""
    start = f"{kind}/{name}/{place}/"
    file = HERE / "expected" / f"ex{FUNCTIONS[name]['exercise']}.npz"
    with np.load(file, allow_pickle=False) as arrays:
        return {key[len(start) :]: arrays[key] for key in arrays.files if key.startswith(start)}


def arguments(name, place=0):
    """What your function is called with: argument -> array, number, or dict of arrays."""
    found = dict.fromkeys(FUNCTIONS[name]["arguments"])
    for key, array in numbers("given", name, place).items():
        outer, _, inner = key.partition("/")
        value = array.copy() if array.ndim else array.item()
        found[outer] = (found[outer] or {}) | {inner: value} if inner else value
    return found


def outputs(name, place=0):
    """What your function returns for one set of numbers in expected/: output -> array."""
    given = arguments(name, place)
    result = your(name)(*given.values())
    before = numbers("given", name, place)
    for key, array in flat(list(given), tuple(given.values())).items():
        if key not in before or not np.array_equal(array, before[key]):
            raise Wrong("fail", f"the argument {key} is changed in place: work on a copy")
    if FUNCTIONS[name]["gradients"]:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise Wrong("fail", f"expected (value, cache), got {what(result)}")
        result = (result[0],)
    return flat(FUNCTIONS[name]["outputs"], result)


def flat(names, result):
    """Results by name; an array in a dict is named "name/key"."""
    results = tuple(result) if isinstance(result, tuple | list) else (result,)
    if len(results) != len(names) or result is None:
        got = what(result) if len(results) == 1 else f"{len(results)} results"
        raise Wrong("fail", f"expected {', '.join(names)}, got {got}")
    found = {}
    for name, value in zip(names, results, strict=True):
        for key, array in value.items() if isinstance(value, dict) else [("", value)]:
            if np.asarray(array).dtype.kind not in "biuf":
                raise Wrong("fail", f"expected real numbers in {name}, got {what(array)}")
            found[f"{name}/{key}" if key else name] = np.asarray(array)
    return found


def what(value):
    """A few words for what came."""
    words = f"{type(value).__name__} {getattr(value, 'shape', '')}".rstrip()
    return "None: is a return missing at the end?" if value is None else words


def check_value(name):
    """Raise Wrong unless your function returns the expected values for each set of numbers."""
    for place in range(FUNCTIONS[name]["places"]):
        yours = outputs(name, place)
        expected = numbers("expected", name, place)
        check_keys(yours, expected)
        for key, truth in expected.items():
            text, index = difference(key, yours[key], truth)
            if text:
                look = f'from check import outputs; outputs("{name}", {place})["{key}"]{index}'
                raise Wrong("fail", text, f"reproduce: {look}")


def check_keys(yours, expected):
    """Raise Wrong unless the results have the names that they must have."""
    odd = [f"{key.partition('/')[2] or key} is missing" for key in expected if key not in yours]
    odd += [f"{key.partition('/')[2] or key} is unknown" for key in yours if key not in expected]
    if odd:
        raise Wrong("fail", ", ".join(odd[:6]))


def difference(name, yours, truth):
    """What is wrong with an array ("" if nothing is), and the index of its worst entry."""
    if yours.shape != truth.shape:
        return f"{name} has the shape {yours.shape}, expected {truth.shape}", ""
    error = np.atleast_1d(np.abs(yours - truth))
    wrong = ~(error <= VALUE_TOLERANCE * np.abs(truth).max())  # not a number is wrong, too
    if not wrong.any():
        return "", ""
    worst = np.unravel_index(np.argmax(error), error.shape)[: truth.ndim]
    index = f"[{', '.join(str(i) for i in worst)}]" if worst else ""
    came, expected = apart(yours[worst], truth[worst])
    text = f"{name}{index} is {came}, expected {expected}"
    if worst:
        text += f" ({wrong.sum()} of {truth.size} entries of {name} {truth.shape} differ)"
    return text, index


def apart(a, b):
    """Two numbers with six digits, or as many as tell them apart."""
    for digits in range(6, 18):
        texts = f"{a + 0.0:.{digits}g}", f"{b + 0.0:.{digits}g}"  # of -0.0, 0
        if texts[0] != texts[1]:
            break
    return texts


def report(name, place=0):
    """The gradient check of a _backward, or of a function that returns a gradient. Print it."""
    f = FUNCTIONS[name.removesuffix("_backward")]
    given = arguments(f["name"], place)
    n = next((len(a) for a in given.values() if np.ndim(a) >= 2), 1)  # to recognise a factor of 1/N
    options = {"rtol": GRADIENT_TOLERANCE, "sizes": {"N": n} if n > 1 else {}}
    if name in ESTIMATORS:
        function, theta = ESTIMATORS[name](given)
        gradient = {key.removeprefix("d"): a for key, a in outputs(name, place).items()}
        found = check_grad(function, theta, gradient, **options)
        return replace(found, reproduce="")  # it would name functions that are not yours
    forward, backward = your(f["name"]), your(name)
    names = [gradient.removeprefix("d") for gradient in f["gradients"]]

    def of_these(*values):
        others = arguments(f["name"], place)
        return forward(*(others | dict(zip(names, values, strict=True))).values())

    def gradients(dvalue, cache):
        result = backward(dvalue if np.ndim(dvalue) else float(dvalue), cache)
        check_keys(flat(f["gradients"], result), flat(f["gradients"], tuple(inputs)))
        return result if isinstance(result, tuple | list) else (result,)

    inputs = [given[name] for name in names]
    found = check_vjp(of_these, gradients, inputs, names=names, **options)
    return replace(found, reproduce="")


def check_slope_at_zero():
    """Raise Wrong unless the slope of ReLU is 0 at exactly 0, where differences cannot tell."""
    x = arguments("relu", 1)["x"]
    _, cache = your("relu")(x.copy())
    dx = flat(["dx"], your("relu_backward")(np.ones_like(x), cache))["dx"]
    if dx.shape == x.shape and np.any(dx[x == 0] != 0):
        slope = dx[x == 0][0]
        raise Wrong("fail", f"at x = 0 the slope of ReLU counts as 0: yours is {slope:.6g}")


def check_gradient(name):
    """Raise Wrong unless your gradient is that of your own f."""
    if name == "relu_backward" and not OWN:
        check_slope_at_zero()
    for place in range(FUNCTIONS[name.removesuffix("_backward")]["places"]):
        found = report(name, place)
        if found.verdict == "pass" or (found.verdict == "cannot tell" and place > 0):
            continue  # the second place may be too extreme to differentiate: finite is enough
        said = [worst_entry(found) or found.reasons[0].rstrip(".")]
        right = [row["parameter"] for row in found.table if row["verdict"] == "pass"]
        wrong = [row["parameter"] for row in found.table if row["parameter"] not in right]
        said += [f"-> wrong: {', '.join(wrong)}; right: {', '.join(right)}"] if right else []
        for one in found.findings[:3]:
            text = one["text"].replace("theta", ", ".join(one["parameters"]) or "theta")
            said += [f"-> {text}"] if said[0] not in text else []
        look = f'reproduce: from check import report; print(report("{name}", {place}))'
        raise Wrong("fail", *(text.replace("params.", "") for text in said), look)


def worst_entry(found):
    """The worst entry of a gradient with wrong numbers in it; "" if it has none."""
    worst, name = found.worst, found.worst.entry.partition("[")[0]
    row = next((r for r in found.table if r["parameter"] == name and r["wrong"]), None)
    if row is None or not np.isfinite(worst.yours):
        return ""
    yours, numeric = apart(worst.yours, worst.numeric)
    return (
        f"the gradient of {worst.entry} is {yours}, numerical differentiation gives "
        f"{numeric} ({row['wrong']} of {row['entries']} entries of {name} "
        f"{np.shape(found.numeric[name])} differ)"
    )


@cache
def check(number):
    """What is wrong with each function of an exercise: name -> Wrong, or None if it passes."""
    found = {}
    first = problem(number, check_what_comes_first, number)
    for f in EXERCISES[number]["functions"]:
        name = f["name"]
        steps = [(name, check_gradient if name in ESTIMATORS else check_value, NEEDS.get(name))]
        steps += [(f"{name}_backward", check_gradient, name)] if f["gradients"] else []
        for step, check_it, needed in steps:
            wrong = first or found.get(needed)
            if wrong and wrong.status == "fail" and not first:
                wrong = Wrong("fail", f"checked once {needed} is right")
            found[step] = wrong or problem(number, check_it, step)
    return found


def problem(number, check_it, *arguments):
    """What `check_it` finds wrong, or raises: None or Wrong."""
    try:
        check_it(*arguments)
    except Wrong as wrong:
        return wrong
    except NotImplementedError as error:
        text = str(error)
        own = text.startswith(f"exercise {number}:") or not text.startswith("exercise")
        return Wrong("not done", "" if own else f"{text} comes first")
    except (Exception, SystemExit) as error:
        return Wrong("fail", f"{type(error).__name__}: {error}{where(error)}")
    return None


def check_what_comes_first(number):
    """Raise Wrong if your file uses a function of an earlier exercise that does not pass."""
    module, needed = module_of(number), []
    for name, used in vars(module).items():
        owner = FUNCTIONS.get(name.removesuffix("_backward"), {"exercise": number})["exercise"]
        if owner < number and getattr(used, "__module__", "") != module.__name__:
            needed.append((owner, name))
    for owner, name in sorted(needed):
        if wrong := check(owner).get(name):
            still = "written" if wrong.status == "not done" else "right"
            raise Wrong("not done", f"exercise {owner} comes first: {name} is not {still} yet")


def show(number):
    """Print the verdict on an exercise; whether it passes."""
    exercise = EXERCISES[number]
    wrong = {name: w for name, w in check(number).items() if w}
    undone = all(w.status == "not done" for w in wrong.values())
    status = "pass" if not wrong else "not done" if undone else "fail"
    print(f"{status:<9} {exercise['file']:<24} {exercise['title']}")
    texts = {}
    for name, w in wrong.items():
        texts.setdefault((w.text, *w.more), []).append(name)
    for (text, *more), names in texts.items():
        said = f"{', '.join(names)}: {text}" if text else f"not done yet: {', '.join(names)}"
        for line in (said, *more):
            print("\n     ".join(textwrap.wrap(f"  {line}", 92, break_on_hyphens=False)))
    return not wrong


def main(words):
    """Check the exercises that are named, or all; the exit code."""
    if not all(word.isdecimal() and int(word) in EXERCISES for word in words):
        first, last = min(EXERCISES), max(EXERCISES)
        sys.exit(f"usage: python check.py [EXERCISE], a number from {first} to {last}")
    getattr(sys.stdout, "reconfigure", dict)(errors="replace", line_buffering=True)  # if it can
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        passed = [show(number) for number in map(int, words or EXERCISES)]
    if len(passed) > 1:
        print(f"{sum(passed)} of {len(passed)} exercises pass")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (KeyboardInterrupt, OSError) as error:  # Ctrl-C; a full disk, or nobody reads on
        sys.stdout = None  # or Python would try once more
        sys.exit(f"stopped {error}".rstrip())
