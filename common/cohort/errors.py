"""What can be wrong with a cohort."""

from __future__ import annotations

from collections.abc import Sequence


class CohortError(ValueError):
    """Everything that is wrong with a cohort, one line each: the file, what was expected, what was found, what to do.

    Attributes:
        problems: the lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"{count} problems with the cohort:\n" if count > 1 else ""
        super().__init__(heading + "\n".join(self.problems))
