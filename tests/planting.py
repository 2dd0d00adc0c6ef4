"""A mistake in one line of the package, for as long as one test runs."""

import __future__

import inspect
import textwrap


def plant(monkeypatch, owner, name, right, wrong):
    """Put `wrong` in place of `right` in the source of a function of `owner`, a module or class."""
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times in {name}"
    flags, namespace = __future__.annotations.compiler_flag, {}
    code = compile(source.replace(right, wrong), "a planted mistake", "exec", flags, True)
    exec(code, function.__globals__, namespace)
    monkeypatch.setattr(owner, name, namespace[name])
