"""The finished points of a study in one compressed file, to be committed: a clone continues where others stopped."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Mapping
from pathlib import Path

from circuitmem.errors import DataFileError
from circuitmem.files import write_bytes

__all__ = ["PACK", "REPACK", "pack_points", "unpack_points"]

PACK = "points.tar.xz"
REPACK = "delete it, and it is made again from points/; points that are not there are computed again"
"""What to do about a damaged one."""


def pack_points(folder: Path, records: Mapping[str, bytes]) -> None:
    """Write ``points.tar.xz`` in a folder; the same records make the same file.

    Parameters
    ----------
    folder : path
        Folder of a study's results.
    records : mapping of str to bytes
        Records of points, by the name of their file.
    """
    buffer = io.BytesIO()
    # Records of a study share most of their text: compressed as one stream they take a fortieth of their size.
    with tarfile.open(fileobj=buffer, mode="w:xz", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(records):
            entry = tarfile.TarInfo(name)
            entry.size = len(records[name])
            archive.addfile(entry, io.BytesIO(records[name]))
    write_bytes(folder / PACK, buffer.getvalue())


def unpack_points(folder: Path) -> dict[str, bytes]:
    """Return the records that :func:`pack_points` wrote in a folder, by name; none if it wrote none.

    Raises
    ------
    DataFileError
        If the file is damaged.
    """
    path = folder / PACK
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:xz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.isreg() else None
                if file is None:
                    raise tarfile.TarError(f"{entry.name} in it is not a file")
                found[entry.name] = file.read()
    except FileNotFoundError:
        return {}
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise DataFileError(path, f"is damaged ({' '.join(str(error).split())}); {REPACK}") from None
    return found
