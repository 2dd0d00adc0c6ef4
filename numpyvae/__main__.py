"""The `numpyvae` command, also as `python -m numpyvae`."""

import os
import sys

from numpyvae.ranks import n_ranks


def main() -> int:
    """Run the command, with one thread of MKL if NumPy uses it for matrix products.

    MKL reads this setting when NumPy is loaded. OpenBLAS gets its number of threads later, from
    `numpyvae.gradient_check.blas`, where products are computed.
    """
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    if n_ranks() != 1:  # each has one processor, and NumPy is not loaded yet
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        os.environ.setdefault("MPIR_CVAR_PRINT_ERROR_STACK", "0")  # MPICH: one line of an error
    try:
        from numpyvae.cli import main

        code = main()
        if code > 128:  # ended by a signal: the message is out, and a second signal changes nothing
            _ignore_signals()
        return code
    except KeyboardInterrupt:  # while still importing, so `interrupts.INTERRUPTED` may be missing
        return 130


def _ignore_signals() -> None:
    import signal

    from numpyvae.interrupts import ENDING

    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
