"""The error that lists everything that is wrong with a cohort."""

from __future__ import annotations

from collections.abc import Sequence


class CohortError(ValueError):
    """Everything that is wrong with a cohort.

    Attributes:
        problems: One line per problem: the file, what was expected, what was found, what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"{count} problems with the cohort:\n" if count > 1 else ""
        super().__init__(heading + "\n".join(self.problems))
