"""One writer at a time: a file that is locked while a process writes, even if it is killed."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import BinaryIO

__all__ = ["Lock"]


class Lock:
    """A lock on the file `path`, taken at once or refused with BlockingIOError.

    It is the system's lock (flock; on Windows the lock of a byte), so it is freed when its process
    dies, even if the file stays behind. The file names the owner. On a file system without locks
    there is no protection: two writers do not notice each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        while True:
            # Unbuffered, and not "w", which would erase the name of another owner.
            self.file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", 0)
            try:
                _lock(self.file)
                if _is_still(self.file, path):  # not removed by its owner in the meantime
                    self.file.truncate(0)
                    self.file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
                    return
            except BlockingIOError:
                holder = _text(self.file) or "another process"
                self.file.close()
                raise BlockingIOError(holder) from None
            except BaseException:
                self.file.close()
                raise
            self.file.close()

    def release(self) -> None:
        """Remove the file and release the lock."""
        if sys.platform == "win32":  # an open file cannot be removed there
            self.file.close()
        try:
            self.path.unlink(missing_ok=True)
        except PermissionError:
            pass  # on Windows: the next owner has it already
        finally:
            self.file.close()


def _is_still(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(200).decode(errors="replace")


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(1 << 20)  # after the text, so that the text can still be read
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(str(error)) from None
        finally:
            file.seek(0)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
