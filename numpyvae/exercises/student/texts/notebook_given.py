"""What the exercises before this one gave: in a notebook, your own functions in its cells.

When a cell checks your work, what came before is right whatever you wrote, so that a mistake counts
once. Nothing to write here.
"""

import __main__


def __getattr__(name):
    if name.startswith("__") or not hasattr(__main__, name):
        raise AttributeError(f"no cell gives {name!r} yet: run the exercises above first")
    return getattr(__main__, name)
