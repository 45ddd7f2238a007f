"""What a plan found, as lines for people and as JSON for programs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vlp_jax.planning.program import Compiled, StepProgram
from vlp_jax.planning.roofline import ASSUMPTIONS, Roofline, Work, roofline
from vlp_jax.planning.topologies import Topology

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Report:
    """A config on a topology. Bytes are those of one device (`per chip` where a chip
    is one device).

    compiled: None when the step was refused without compiling it; `needed` is then a
    lower bound. largest_batch: None when it was not looked for, 0 when none fits;
    at_largest: the report at that batch, where it is another. stream: what the batch
    size counts; others: rows of the streams beside it.
    """

    name: str
    topology: Topology
    batch_size: int
    mesh: dict[str, int]
    parameters: int
    model_flops: float
    remat: str
    state_bytes: float
    needed: float
    compiled: Compiled | None
    is_tpu: bool
    largest_batch: int | None = None
    at_largest: "Report | None" = None
    stream: str = "pairs"
    others: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def fits(self) -> bool:
        compiled = self.compiled is not None and self.compiled.memory is not None
        return compiled and self.needed <= self.topology.chip.hbm

    @property
    def shortfall(self) -> float:
        """Bytes that are missing on each device; 0 when it fits."""
        return max(0.0, self.needed - self.topology.chip.hbm)

    @property
    def roofline(self) -> Roofline | None:
        compiled = self.compiled
        if compiled is None or compiled.memory is None:
            return None
        work = Work(
            pairs=self.batch_size,
            devices=self.topology.devices,
            flops=compiled.flops,
            model_flops=self.model_flops,
            resident_bytes=compiled.memory.arguments + compiled.memory.temporaries,
            found=compiled.found,
        )
        return roofline(work, self.topology.chip)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; seconds and bytes without units in their names' stead."""
        compiled, roof = self.compiled, self.roofline
        found = compiled.found if compiled and compiled.found else None
        memory = compiled.memory if compiled else None
        return {
            "name": self.name,
            "topology": self.topology.name,
            "devices": self.topology.devices,
            "mesh": self.mesh,
            "batch_size": self.batch_size,
            "rows": {self.stream: self.batch_size, **self.others},
            "compiler": "libtpu" if self.is_tpu else "cpu",
            "parameters": self.parameters,
            "flops_per_pair": self.model_flops,
            "step_flops": compiled.flops if compiled else None,
            "remat": self.remat,
            "memory": {
                "state": self.state_bytes,
                "arguments": memory.arguments if memory else None,
                "temporaries": memory.temporaries if memory else None,
                "code": memory.code if memory else None,
                "peak": self.needed,
                "peak_is": "exact" if memory else "at least",
                "available": self.topology.chip.hbm,
            },
            "collectives": [
                dataclasses.asdict(c) | {"sent": c.sent}
                for c in (found.collectives if found else ())
            ],
            "loops_of_unknown_length": found.unknown_loops if found else None,
            "roofline": roof
            and dataclasses.asdict(roof)
            | {
                "step": roof.step,
                "step_without_overlap": roof.step_without_overlap,
                "limit": roof.limit,
            },
            "assumptions": list(ASSUMPTIONS),
            "fits": self.fits,
            "shortfall": self.shortfall,
            "largest_batch": self.largest_batch,
            "at_largest_batch": self.at_largest and self.at_largest.to_dict(),
            "compile_seconds": compiled.seconds if compiled else None,
        }

    def lines(self) -> list[str]:
        """What a person reads."""
        chip, devices = self.topology.chip, self.topology.devices
        unit = "chip" if chip.devices == 1 else "device (half a chip)"
        mesh = ", ".join(f"{axis} {size}" for axis, size in self.mesh.items())
        pairs = self.batch_size / devices
        one = self.stream.removesuffix("s")
        lines = [
            f"  devices      {devices} ({mesh}), {chip.hbm / GIB:.2f} GiB a {unit}",
            f"  batch        {self.batch_size:,} {self.stream}, {pairs:g} a {unit}"
            + "".join(f"; {rows:,} {name}" for name, rows in self.others.items()),
            f"  parameters   {self.parameters:,}; the train state takes "
            f"{size(self.state_bytes)} a {unit}",
            f"  FLOP a {one:5} {self.model_flops / 1e9:,.4g} G forward and backward; "
            f"remat: {self.remat}",
        ]
        compiled = self.compiled
        if compiled is None or compiled.memory is None:
            return lines + [f"  memory       at least {size(self.needed)} a {unit}"]
        redone = compiled.flops / self.batch_size / 1e9
        lines[-1] += f"; with it and the loss a step does {redone:,.4g} G a {one}"
        memory = compiled.memory
        lines += [
            f"  memory       arguments {size(memory.arguments)}, temporaries "
            f"{size(memory.temporaries)}, code {size(memory.code)}: peak "
            f"{size(memory.peak)} of {size(chip.hbm)} a {unit}",
            *self._collective_lines(unit),
            *self._time_lines(),
        ]
        return lines

    def _collective_lines(self, unit: str) -> list[str]:
        found = self.compiled.found
        lines = [
            f"  {'' if i else 'collectives':11}  {c.count} {c.kind} over {c.group}: "
            f"{size(c.bytes)}, {unit} sends {size(c.sent)}"
            for i, c in enumerate(found.collectives)
        ]
        if found.unknown_loops:
            lines.append(
                f"               {found.unknown_loops} loops of unknown length are "
                "counted once"
            )
        return lines or ["  collectives  none"]

    def _time_lines(self) -> list[str]:
        chip, roof = self.topology.chip, self.roofline
        return [
            f"  step         {roof.step * 1e3:,.3g} ms at best (limit: {roof.limit}): "
            f"{roof.pairs_per_second:,.0f} {self.stream}/s, model FLOP utilisation "
            f"{roof.utilisation:.0%}",
            f"               matrix products {roof.compute * 1e3:,.3g} ms at "
            f"{chip.flops / 1e12:.0f} TFLOP/s, HBM {roof.hbm * 1e3:,.3g} ms at "
            f"{chip.hbm_bandwidth / 1e9:.0f} GB/s, links {roof.ici * 1e3:,.3g} ms at "
            f"{chip.ici_bandwidth / 1e9:.0f} GB/s",
            f"               {roof.step_without_overlap * 1e3:,.3g} ms when nothing "
            f"overlaps",
            *(f"  assumed      {text}" for text in ASSUMPTIONS),
        ]


def make_report(
    program: StepProgram,
    topology: Topology,
    batch_size: int,
    at_least: float,
    compiled: Compiled | None,
) -> Report:
    """The report on a batch; `at_least`: bytes it needs, should nothing be compiled."""
    config = program.config
    others = program.rows(batch_size, program.shares)
    others.pop(program.stream)
    remat = {tower: config.model[tower].remat or "none" for tower in ("image", "text")}
    return Report(
        name=config.name or "",
        topology=topology,
        batch_size=batch_size,
        mesh=dict(program.mesh.shape),
        parameters=program.parameters,
        model_flops=program.model_flops,
        remat=", ".join(f"{tower} {policy}" for tower, policy in remat.items()),
        state_bytes=program.state_bytes,
        needed=compiled.needed if compiled else at_least,
        compiled=compiled,
        is_tpu=program.is_tpu,
        stream=program.stream,
        others=others,
    )


def size(count: float) -> str:
    """Bytes for people."""
    unit, name = (GIB, "GiB") if count >= GIB / 2 else (2**20, "MiB")
    return f"{count / unit:,.2f} {name}"
