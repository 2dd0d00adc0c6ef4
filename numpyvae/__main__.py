"""The `numpyvae` command, also as `python -m numpyvae`."""

import os
import sys


def main() -> int:
    """Run the command with one thread for matrix products, unless the environment says otherwise.

    Products of this size gain nothing from a second thread, and lose a lot where another program
    keeps a core busy, because the threads wait for each other at every product: the default run
    took 1.3 s with one thread and 37 s with two, beside a busy program on two cores.
    """
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # read when NumPy is loaded
    try:
        from numpyvae.cli import main

        return main()
    except KeyboardInterrupt:  # while still importing
        return 130


if __name__ == "__main__":
    sys.exit(main())
