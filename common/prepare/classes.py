"""The classes of a study, and which values labels from elsewhere have for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common import IGNORE_INDEX

IGNORE = "ignore"
"""Name of the values that mean "not annotated"."""

ROUNDING = 1e-3
"""Distance from a whole number up to which a label's value is taken for it."""

SHOWN = 5
"""Number of values that messages show."""


@dataclass(frozen=True)
class Classes:
    """The classes of a cohort, and the values that they have in other files.

    Attributes:
        names: Name of each class 1..K.
        values: Class that each value of the files becomes, or 255 for "not annotated"; 0 stays the background. None if
            every value above 0 becomes class 1.
    """

    names: dict[int, str]
    values: dict[int, int] | None

    @classmethod
    def named(cls, names: Mapping[int, str] | Sequence[str] | str) -> Classes:
        """Classes by the names of the values in the files.

        Args:
            names: Name of each value, of which 0 is ignored; values with the same name become one class, numbered in
                the order in which the names first occur. The name ``ignore`` is for values that mean "not annotated".
                A sequence names the values 1, 2, …; one name is that of the value 1.

        Raises:
            ValueError: If there is no class, a name is empty, or a value is negative.

        Example:
            >>> Classes.named({2: "liver", 5: "spleen", 6: "spleen", 9: "ignore"})
            Classes(names={1: 'liver', 2: 'spleen'}, values={2: 1, 5: 2, 6: 2, 9: 255})
        """
        if isinstance(names, str):
            names = [names]
        given = dict(names if isinstance(names, Mapping) else enumerate(names, start=1))
        given.pop(0, None)
        classes = [name for name in dict.fromkeys(given.values()) if name != IGNORE]
        if not classes or not all(classes) or min(given) < 0 or len(classes) >= IGNORE_INDEX:
            raise ValueError(
                f"classes must be names of values above 0, as in liver,spleen or 2=liver,5=spleen, got {names}."
            )
        numbers = {name: number for number, name in enumerate(classes, start=1)} | {IGNORE: IGNORE_INDEX}
        return cls({numbers[name]: name for name in classes}, {value: numbers[name] for value, name in given.items()})

    @classmethod
    def parsed(cls, text: str) -> Classes:
        """Classes as the command line has them: ``liver,spleen``, or ``2=liver,5+6=spleen,9=ignore``.

        Raises:
            ValueError: If it has another form, or names a value twice.
        """
        parts = [part.strip() for part in text.split(",")]
        if "=" not in text:
            return cls.named(parts)
        names: dict[int, str] = {}
        for part in parts:
            values, sign, name = part.partition("=")
            for value in values.split("+"):
                if not sign or not value.strip().isdecimal() or int(value) in names or not int(value):
                    raise ValueError(
                        "classes must be names such as liver,spleen or, once each, the values above 0 in the labels "
                        f"and their names, such as 2=liver,5+6=spleen,9=ignore, got {text}."
                    )
                names[int(value)] = name.strip()
        return cls.named(names)

    def settings(self) -> dict[str, object]:
        """The classes in types that JSON knows."""
        values = None if self.values is None else {str(value): number for value, number in self.values.items()}
        return {"names": {str(number): name for number, name in self.names.items()}, "values": values}

    def mapped(self, voxels: np.ndarray, path: object) -> np.ndarray:
        """The label map uint8 for the values in a file.

        Args:
            voxels: Label map of any type; values may be off a whole number by rounding, up to 0.001.
            path: Its file, for messages.

        Raises:
            ValueError: If values are no whole numbers, or none of those that classes are declared for.
        """
        whole = voxels
        if voxels.dtype.kind not in "biu":
            whole = np.rint(voxels)
            if (wrong := voxels[~(abs(voxels - whole) <= ROUNDING)]).size:
                raise ValueError(f"{path}: expected label values that are whole numbers, found {_listed(wrong)}.")
        present = _present(whole)
        known = self.values
        if known is None:
            known = dict.fromkeys(present[present > 0].astype(int).tolist(), 1)
        if (unknown := present[~np.isin(present, [0, *known])]).size:
            declared = ", ".join(f"{value} {self._name(number)}" for value, number in known.items())
            example = ",".join(f"{int(value)}=NAME" for value in unknown[:SHOWN])
            raise ValueError(
                f"{path}: expected the values 0 background, {declared}, found {_listed(unknown)}; name the classes of "
                f"all values, as in {example}, or the values that mean not annotated {IGNORE}."
            )
        label = np.zeros(voxels.shape, np.uint8)
        for value in present[present != 0].astype(int).tolist():
            label[whole == value] = known[value]
        return label

    def _name(self, number: int) -> str:
        return self.names.get(number, IGNORE)


def _present(whole: np.ndarray) -> np.ndarray:
    """The values of whole numbers, in order; counting them is several times as fast as sorting voxels."""
    if whole.size and whole.min() >= 0 and whole.max() < 2**16:
        return np.flatnonzero(np.bincount(whole.astype(np.uint16).ravel()))
    return np.unique(whole)


def _listed(values: np.ndarray) -> str:
    found = np.unique(values)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(f"{value:.6g}" for value in found[:SHOWN]) + more
