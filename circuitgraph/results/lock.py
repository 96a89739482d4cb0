"""One writer per run directory: an advisory lock that the system frees when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from circuitgraph.errors import LockError
from circuitgraph.results.files import file_errors
from circuitgraph.results.names import LOCK


class DirectoryLock:
    """Holds `<directory>/.lock` from construction to `release`; the file says who holds it.

    Raises:
        LockError: another process holds it.
        FileError: the lock file cannot be made.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK
        with file_errors("lock", directory):
            while True:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = os.read(self._descriptor, 1000).decode(errors="replace")
                    os.close(self._descriptor)
                    raise LockError(
                        f"{directory} is being written by {_who(holder)}; wait for it, or choose another --out"
                    ) from None
                except OSError:
                    os.close(self._descriptor)
                    raise
                if self._is_current():
                    break
                os.close(self._descriptor)  # its holder removed the file between our open and our lock
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())

    def _is_current(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def moved(self, directory: Path) -> None:
        """The locked directory was renamed."""
        self._path = directory / LOCK

    def release(self) -> None:
        """Remove the lock file and free the lock; further calls do nothing."""
        if self._descriptor < 0:
            return
        with suppress(OSError):
            if self._is_current():
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


def _who(holder: str) -> str:
    try:
        content = json.loads(holder)
        return f"process {content['pid']} on {content['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
