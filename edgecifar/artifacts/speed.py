"""SpeedReport: how fast, how large and how right each artifact is in each runtime, on one machine."""

from typing import Literal

from edgecifar.artifacts.record import Record
from edgecifar.artifacts.run import Accuracy
from edgecifar.protocol import EngineInfo


class Latency(Record):
    """Seconds for one image alone, over all rounds."""

    median_s: float
    p90_s: float
    p99_s: float
    calls: int
    rounds_s: tuple[float, ...]
    """Median of each round: rounds of one benchmark are taken in turn, so they can be compared one by one."""


class Throughput(Record):
    """Images a second in batches."""

    batch: int
    threads: int
    """That the engine says it uses."""
    images_per_s: float
    """Median of the rounds."""


class SpeedRow(Record):
    """One artifact in one runtime."""

    artifact: str
    format: str
    precision: str
    size_bytes: int
    gzip_bytes: int
    """As an app store or a web server would send it: gzip, level 9."""
    engine: EngineInfo
    """As it was for the latency: one thread, where the engine lets itself be told."""
    load_s: float
    """Median; the engine itself was in memory."""
    latency: Latency
    latency_ratio: float | None
    """Median latency over that of the float ONNX model in ONNX Runtime; above 1 is slower."""
    throughput: tuple[Throughput, ...]
    peak_memory_bytes: int | None
    """Of the process that ran it, with Python and the engine; None where the engine runs in another process
    or the system does not tell."""
    accuracy: Accuracy

    @property
    def subject(self) -> str:
        """How sentences call it: "model.int8.onnx in ort-cpu"."""
        return f"{self.artifact} in {self.engine.runtime}"


class SpeedReport(Record):
    """The outcome of a `benchmark`."""

    schema_version: Literal[1] = 1
    title: str
    base: str | None
    """What ratios are to, "model.float32.onnx in ort-cpu"; None where it did not run."""
    rows: tuple[SpeedRow, ...]
    rounds: int
    data_source: str
    data_fingerprint: str
    skipped: tuple[str, ...]
    """What did not run, and why, one sentence each."""
    notes: tuple[str, ...]
    cpu: str
    cpu_flags: tuple[str, ...]
    load_before: float | None
    """Processes that wanted to run in the minute before; None where the system does not tell."""
    tool_versions: dict[str, str]
    created: str
    """ISO 8601, UTC."""
    command: str
