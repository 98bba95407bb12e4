"""The files of a study: one for each computed point, and one table made from all of them.

The file of a point is written atomically (:mod:`circuitmem.files`), under a name derived from its content: after a kill
-9 each point is there complete or not at all, and none is there twice. The table is rebuilt from the points each time.
The points are also packed beside it (:mod:`circuitmem.study.pack`), where a point without a file is looked for.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from circuitmem.config.data import TEST_PARTS
from circuitmem.errors import CircuitmemError, DataFileError, StudyBusyError
from circuitmem.files import locked, remove_leftovers, save_npz, write_bytes, write_text
from circuitmem.records import (
    PointRecord,
    StudyProvenance,
    check_record,
    read_arrays,
    read_record,
    record_text,
    write_record,
)
from circuitmem.study.declared import check_owner, check_table
from circuitmem.study.pack import PACK, REPACK, pack_points, unpack_points
from circuitmem.study.spec import Point, Study, config_values

__all__ = ["INFERENCE", "MEASURES", "PART", "TESTED", "Row", "Store", "load_table"]

Row = dict[str, Any]
PART = "part"
"""Column that says on which samples an accuracy was measured; in a table of an older version, on test samples only."""
MEASURES = ("accuracy_percent", "pulses", "simulated_time_s", "energy_j")
"""What a method reached, and what it had cost by then."""
INFERENCE = ("inference_s", "inference_j", "digital_products", "mac_error_raw", "mac_error", "tiles")
"""Time and energy of an inference at the end, the part of the products that is digital, the mean error of the layers'
products as programmed and after calibration, and the number of tiles. Some or all are missing in tables of older
versions, and for methods that took their history from another."""
TESTED = ("test_samples", "split_seed")
"""Number of the test samples, where the configuration has it, and the seed with which they were drawn, if they were;
missing in tables of older versions."""

KEY = b"circuitmem"
"""Key of the provenance in the metadata of the table."""


class Store:
    """The folder of a study's results.

    Parameters
    ----------
    folder : path
        The folder.
    make : bool
        Whether to make it if it does not exist.
    """

    def __init__(self, folder: str | Path, make: bool = True) -> None:
        self.folder = Path(folder)
        self.points = self.folder / "points"
        if make:
            self.make()

    def make(self) -> None:
        """Make the folder if it does not exist.

        Raises
        ------
        DataFileError
            If it cannot be made.
        CircuitmemError
            If the library for its tables is missing.
        """
        _libraries()  # before anything is computed
        try:
            self.points.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataFileError(self.points, f"cannot be made: {error.strerror}") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against other processes, and remove the temporary files that killed ones left in it.

        The lock is released when its process ends.

        Raises
        ------
        StudyBusyError
            If another process holds the lock.
        """
        with locked(self.points / ".lock", StudyBusyError(f"{self.folder}: another process works on this study")):
            for folder in (self.folder, self.points, self.folder / "figures"):
                remove_leftovers(folder)
            yield

    def check(self, study: Study) -> None:
        """Refuse a folder with the table of another study, or with a damaged pack of points; writes nothing.

        Raises
        ------
        ValidationError
            If its table is of another study.
        DataFileError
            If a file is damaged.
        """
        about = self.folder / "provenance.json"
        if about.exists():
            check_owner(study, self.folder, read_record(about, StudyProvenance))
        _ = self._packed

    def save(self, record: dict[str, Any]) -> None:
        """Save the record of a point; its conductance maps first, so that a record implies that they are complete."""
        plain = dict(record)
        maps = plain.pop("maps", {})
        if maps:
            save_npz(self._maps_of(record["id"]), maps)
        plain["maps"] = sorted(maps)
        write_record(self.points / f"{record['id']}.json", plain, indent=1)

    def load(self, point: Point) -> dict[str, Any] | None:
        """Return the record of a point, or None if it has none that was made with its present configuration.

        A record whose maps are gone does not count: the point has to be computed again.

        Raises
        ------
        DataFileError
            If the file is damaged.
        """
        path = self.points / f"{point.id}.json"
        packed = None if path.exists() else self._packed.get(path.name)
        if packed is None and not path.exists():
            return None
        try:
            record = read_record(path, PointRecord) if packed is None else check_record(path, packed, PointRecord)
        except DataFileError as error:
            if packed is not None:
                rule = f"is damaged: {path.name} in it {error.rule}; {REPACK}"
                raise DataFileError(self.folder / PACK, rule) from None
            rule = f"is damaged ({error.rule}); delete it, and the point is computed again"
            raise DataFileError(path, rule) from None
        if not _is_within(record["config"], config_values(point)):
            return None
        return None if record.get("maps") and not self._maps_of(record["id"]).exists() else record

    def _maps_of(self, name: str) -> Path:
        return self.points / f"{name}.npz"

    @cached_property
    def _packed(self) -> dict[str, bytes]:
        return unpack_points(self.folder)

    def pack(self, points: Sequence[Point]) -> None:
        """Add the records of finished points to ``points.tar.xz``, but not those with maps, which are too large."""
        kept = dict(self._packed)
        for point in points:
            record = self.load(point)
            if record is not None and record["status"] == "finished" and not record["maps"]:
                name = f"{point.id}.json"
                path = self.points / name
                if path.exists():
                    kept[name] = path.read_bytes()
        pack_points(self.folder, kept)

    def records(self, points: Sequence[Point]) -> list[dict[str, Any]]:
        """Return the records of those points that have one, in order."""
        found = ((point, self.load(point)) for point in points)
        # Axes may have been renamed since: the levels are those of the declaration.
        return [record | {"levels": point.levels} for point, record in found if record is not None]

    def write_trials(self, study: Study, rows: Sequence[Row]) -> None:
        """Write ``tuning.csv``: one row for each trial on each map."""
        if rows:
            write_text(
                self.folder / "tuning.csv", _csv(list(rows), [*study.spec.axes, *list(rows[0])[len(study.spec.axes) :]])
            )

    def write_table(self, study: Study, records: Sequence[dict[str, Any]], provenance: dict[str, Any]) -> Path:
        """Write ``results.parquet`` with every epoch, ``results.csv`` with final rows, ``maps.npz``, and provenance.

        Maps of an older table are removed, unless points with maps are only not computed yet. Returns the path of
        ``results.parquet``.
        """
        rows = [row for record in records if record["status"] == "finished" for row in table_rows(record)]
        columns = [*study.spec.axes, "seed", "method", "epoch", "end", PART, *MEASURES, *INFERENCE, *TESTED, "point"]
        text = record_text(provenance)
        write_bytes(self.folder / "results.parquet", _parquet(rows, columns, text))
        write_text(self.folder / "results.csv", _csv([row for row in rows if row["end"]], columns))
        write_text(self.folder / "provenance.json", text)
        maps: dict[str, Any] = {}
        for record in records:
            if record.get("maps"):
                label = "/".join(escaped(level) for level in record["levels"].values())
                declared = dict.fromkeys(record["maps"], ("bf", ("rows", "columns")))
                arrays = read_arrays(self._maps_of(record["id"]), declared)
                for name, array in arrays.items():
                    method, *place = name.rsplit("/", 2)
                    maps["/".join([*([label] if label else []), escaped(method), *place])] = array
        if maps:
            save_npz(self.folder / "maps.npz", maps)
        elif not study.spec.maps.tiles or len(records) == provenance["points"]:
            (self.folder / "maps.npz").unlink(missing_ok=True)
        return self.folder / "results.parquet"


def escaped(part: Any) -> str:
    """Return a level or a method's name as a part of a key in ``maps.npz``, whose parts have ``/`` between them."""
    return str(part).replace("%", "%25").replace("/", "%2F")


def table_rows(record: dict[str, Any]) -> Iterator[Row]:
    """Yield the rows of a finished point: one for each test of each method, and one for the digital network.

    If the test samples were used only once, the final row has the accuracy on them; the rows before it, one of which is
    at the same epoch, have accuracies on validation samples.
    """
    configs: dict[str, Any] = record.get("config", {})
    head = {**record["levels"], "seed": record["seed"], "point": record["id"], PART: "test"}
    head |= _tested(configs, next(iter(configs), ""))
    nothing: Row = dict.fromkeys((*MEASURES, *INFERENCE))
    yield (
        {**head, "method": "digital", "epoch": 0, "end": True}
        | nothing
        | {"accuracy_percent": record["digital_percent"]}
    )
    tests, inferences = record.get("tests") or {}, record.get("inferences") or {}
    unused: Row = dict.fromkeys(INFERENCE)
    for method, history in record["histories"].items():
        last, used = history[-1], unused | inferences.get(method, {})
        head |= _tested(configs, method)
        for entry in history:
            own = {"method": method, "epoch": entry["epoch"], "end": entry is last, **{n: entry[n] for n in MEASURES}}
            own |= used if own["end"] and method not in tests else unused
            yield {**head, **own, **({"end": False, PART: "validation"} if method in tests else {})}
        if method in tests:
            at_the_end = {name: last[name] for name in MEASURES} | {"accuracy_percent": tests[method]}
            yield {**head, "method": method, "epoch": last["epoch"], "end": True, **at_the_end, **used}


def _tested(configs: dict[str, Any], method: str) -> Row:
    """Return the columns ``TESTED`` of a method from the configuration of its point."""
    data = configs.get(method, {}).get("data", {})
    count = data.get("validation") or data.get("test") or TEST_PARTS.get(data.get("source", ""))
    return {"test_samples": count, "split_seed": data.get("split_seed")}


def load_table(folder: str | os.PathLike[str], study: Study | None = None) -> tuple[list[Row], dict[str, Any]]:
    """Read the rows and the provenance of ``results.parquet`` in a folder.

    Parameters
    ----------
    folder : path
        The folder.
    study : Study, optional
        The declaration for which the table must have been written.

    Raises
    ------
    DataFileError
        If there is none, or it is damaged, or it was written for another declaration.
    ValidationError
        If it is the table of another study.
    """
    path = Path(folder) / "results.parquet"
    pyarrow, parquet = _libraries()
    try:
        table = parquet.read_table(path)
        text = (table.schema.metadata or {})[KEY]
    except FileNotFoundError:
        raise DataFileError(path, "is not there yet; circuitmem study run makes it") from None
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataFileError(path, f"is not the table of a study ({' '.join(str(error).split())})") from None
    for name in ("method", "epoch", "end", "seed", "point", *MEASURES):
        if name not in table.column_names:
            raise DataFileError(path, f"must have the column {name!r}")
    older: Row = {PART: "test", **dict.fromkeys((*INFERENCE, *TESTED))}
    rows, provenance = [older | row for row in table.to_pylist()], check_record(path, text, StudyProvenance)
    if study is not None:
        axes = table.column_names[: table.column_names.index("seed")]
        check_table(study, path, axes, rows, provenance)
    return rows, provenance


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise CircuitmemError("studies need pyarrow for their tables: pip install 'circuitmem[study]'") from None
    return pyarrow, pyarrow.parquet


def _parquet(rows: list[Row], columns: list[str], provenance: str) -> bytes:
    pyarrow, parquet = _libraries()
    kinds = dict.fromkeys(TESTED, pyarrow.int64())  # whole numbers, also if no row has one
    table = pyarrow.table({name: pyarrow.array([row[name] for row in rows], kinds.get(name)) for name in columns})
    buffer = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({KEY: provenance}), buffer, compression="zstd")
    return buffer.getvalue()


def _csv(rows: list[Row], columns: list[str]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _is_within(stored: Any, current: Any) -> bool:
    """Say whether all stored values still hold; keys added since have their defaults, or else the id would differ."""
    if isinstance(stored, dict) and isinstance(current, dict):
        return all(key in current and _is_within(value, current[key]) for key, value in stored.items())
    return bool(stored == current)
