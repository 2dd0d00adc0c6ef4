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

        code = main()
        if code > 128:  # ended by a signal; all is said, and another changes nothing
            _ignore_signals()
        return code
    except KeyboardInterrupt:  # while still importing
        return 130


def _ignore_signals() -> None:
    import signal

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
