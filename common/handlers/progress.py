"""Progress of a round on disk, so that an interrupted round resumes where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

from common.files import replacing


class RoundProgress:
    """The scans of a round that are done, with numbers for each, in a file that grows scan by scan.

    Args:
        path: File of JSON lines, of which the first names the round and each other one a scan.

    Attributes:
        done: The numbers of each scan that is done.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.done: dict[str, list[float]] = {}

    def begin(self, name: str) -> None:
        """Starts or resumes the round of this name; the progress of any other round is dropped."""
        lines = self._lines()
        same = bool(lines) and lines[0] == {"round": name}
        self.done = {line["scan"]: line["numbers"] for line in lines[1:]} if same else {}
        with replacing(self.path) as temporary:
            kept = [{"round": name}, *({"scan": scan, "numbers": it} for scan, it in self.done.items())]
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def add(self, scan: str, numbers: list[float]) -> None:
        """Notes that a scan is done."""
        self.done[scan] = numbers
        with self.path.open("a") as file:
            file.write(json.dumps({"scan": scan, "numbers": numbers}) + "\n")

    def _lines(self) -> list[dict]:
        """The lines up to the first that an interruption left incomplete."""
        lines: list[dict] = []
        for line in self.path.read_text().splitlines() if self.path.is_file() else []:
            try:
                lines.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return lines
