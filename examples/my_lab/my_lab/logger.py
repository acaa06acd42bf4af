"""A logger: somewhere to send what happens in a run."""

import json
import os
from collections.abc import Mapping

from nnlab.logger.base import Logger, Media, Run


class JsonLines(Logger):
    """Writes ``log.jsonl`` into the run's folder, one line for each set of numbers."""

    def start(self, run: Run) -> None:
        """Open the file; of a resumed run, without the lines behind the step that it goes on from."""
        path = run.folder / "log.jsonl"
        lines = path.read_text().splitlines(keepends=True) if run.resumed_at is not None and path.exists() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= (run.resumed_at or 0)]
        self._file = open(path, "w")  # noqa: SIM115 - until ``close``
        self._file.writelines(kept)

    def scalars(self, step: int, values: Mapping[str, float], time_s: float) -> None:
        """Write a line."""
        self._file.write(json.dumps({"step": step, "time_s": time_s, **values}) + "\n")

    def media(self, step: int, tag: str, item: Media) -> None:
        """Pictures and histograms have no place in lines of numbers."""

    def sync(self) -> None:
        """Before a checkpoint points behind these lines."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
