"""A text file that is written on the fly, compressed or not, and can be continued after a crash.

Text is buffered until a block is full, then written. All blocks but the last hold the same number of bytes of text, so
that the same text gives the same file however often :meth:`Recording.state` is called; each is compressed on its own (a
full flush of the deflate stream, RFC 1951), so that a new process can continue after any of them. Memory does not grow
with the file.
"""

from __future__ import annotations

import os
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from circuitmem.errors import DataFileError

__all__ = ["Recorder", "Recording"]

BLOCK = 1 << 18
"""Bytes of text in a block."""

_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952: deflate, no name and no time stamp, so that the same run gives the same bytes."""


class _Written(ABC):
    """Something that is written inside a ``with`` statement and finished at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(failed=kind is not None)

    @abstractmethod
    def leave(self, *, failed: bool) -> None:
        """Finish what was written, or drop it if something ``failed``."""


class Recording(_Written):
    """A text file, compressed if its name ends in ``.gz``.

    The file gets its name when it is closed without an error; until then it is ``NAME.part``. An error removes that
    file, unless it was continued or :meth:`state` was called: then it can be continued later.

    Parameters
    ----------
    path : path
        File to write.
    state : mapping, optional
        What :meth:`state` of an earlier recording of the same file returned, to continue it.

    Raises
    ------
    DataFileError
        If the file cannot be written, or is shorter than it was at that time.
    """

    def __init__(self, path: str | os.PathLike[str], state: Mapping[str, Any] | None = None) -> None:
        self.path = Path(path)
        if not self.path.name or self.path.is_dir():
            raise DataFileError(self.path, "cannot be written: must be a file, not a folder")
        self._part = self.path.with_name(f"{self.path.name}.part")
        self._packed = self.path.suffix == ".gz"
        self._pending = bytearray()
        self._position = self._size = self._checksum = 0
        self._kept = state is not None
        self._file: BinaryIO
        try:
            if state is None:
                self._file = self._part.open("wb")
                self._put(_GZIP_HEADER if self._packed else b"")
            else:
                self._go_on(state)
        except (OSError, ValueError) as error:  # ValueError: no file system can have that name
            raise DataFileError(self.path, f"cannot be written: {getattr(error, 'strerror', None) or error}") from None

    def _go_on(self, state: Mapping[str, Any]) -> None:
        if not self._part.exists() and self.path.exists():  # the file was finished, but not the run
            os.replace(self.path, self._part)
        self._position, self._size, self._checksum = state["position"], state["size"], state["checksum"]
        self._pending += state["pending"].encode(errors="surrogateescape")
        self._file = self._part.open("r+b")
        if self._file.seek(0, os.SEEK_END) < self._position:
            self._file.close()
            raise DataFileError(self._part, f"must have at least the {self._position} bytes that it had")
        self._file.truncate(self._position)
        self._file.seek(self._position)

    def leave(self, *, failed: bool) -> None:
        """Give the file its name, or remove it if something ``failed`` and it is not to be continued."""
        if not failed:
            self.close()
            return
        self._file.close()
        if not self._kept:
            self._part.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Close the file as it is, because it will be written anew."""
        self._file.close()

    def write(self, text: str) -> None:
        """Add text."""
        self._pending += text.encode()
        while len(self._pending) >= BLOCK:
            self._put_block(BLOCK, zlib.Z_FULL_FLUSH)

    def state(self) -> dict[str, Any]:
        """Return where the file stands, for a checkpoint; all blocks written so far are then safe on the disk."""
        self._kept = True
        self._file.flush()
        os.fsync(self._file.fileno())
        place = {"position": self._position, "size": self._size, "checksum": self._checksum}
        return place | {"pending": self._pending.decode(errors="surrogateescape")}

    def close(self) -> None:
        """Write what is left and give the file its name."""
        try:
            self._put_block(len(self._pending), zlib.Z_FINISH)
            if self._packed:
                self._put(struct.pack("<II", self._checksum, self._size & 0xFFFFFFFF))
            self._file.close()
            os.replace(self._part, self.path)
        except OSError as error:
            raise DataFileError(self.path, f"cannot be written: {error.strerror or error}") from None

    def _put_block(self, length: int, flush: int) -> None:
        block = bytes(self._pending[:length])
        del self._pending[:length]
        self._size += len(block)
        self._checksum = zlib.crc32(block, self._checksum)
        if self._packed:
            packer = zlib.compressobj(5, zlib.DEFLATED, -zlib.MAX_WBITS)
            block = packer.compress(block) + packer.flush(flush)
        self._put(block)

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self._position += len(content)


class Recorder(_Written):
    """Base of the writers of a recording: the end of a ``with`` statement finishes it, unless there is an error.

    Parameters
    ----------
    file : Recording
        The file.
    """

    def __init__(self, file: Recording) -> None:
        self._file = file

    def leave(self, *, failed: bool) -> None:
        """Write the end of the file, if nothing ``failed``, and leave the file."""
        if not failed:
            self._end()
        self._file.leave(failed=failed)

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.abandon()

    @abstractmethod
    def _end(self) -> None:
        """Write the end of the file."""
