"""One setting: what it may be, in words and as a check."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, get_args

Kind = Literal["integer", "number", "yes_or_no", "text", "path", "one_of", "device", "object"]
COUNTS = {2: "two", 3: "three"}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a setting may be.

    Attributes:
        type: ``integer``, ``number`` (finite), ``yes_or_no`` (True or False, also as words), ``text``, ``path``,
            ``one_of`` the `values`, a PyTorch ``device`` of this computer, or ``object``, which may be anything.
        min, max: Least and greatest number.
        above, below: Numbers that it must be greater and smaller than.
        multiple_of: Number that it must be divisible by.
        values: The words or numbers that it can be.
        length: Number of values, if it is a list of them; otherwise None.
        rising: Whether no value of the list may be smaller than the one before.
        at_most: Name of the setting that gives the greatest value, for each value of a list its own.
        null: Whether it may be None.
        default: The default in words, for the page; by default the config's own value.
        meaning: What it decides, for the page.
        files: Configs that have it, without ``.json``; by default those of its group.
        may_change_on_resume: Whether a run may be resumed with another value.
        path_may_change_on_resume: Whether it alone matters to a resumed run that the setting is given.
    """

    type: Kind
    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None
    multiple_of: int | None = None
    values: tuple[str | int, ...] = ()
    length: int | None = None
    rising: bool = False
    at_most: str | None = None
    null: bool = False
    default: str | None = None
    meaning: str = ""
    files: tuple[str, ...] = ()
    may_change_on_resume: bool = False
    path_may_change_on_resume: bool = False

    @classmethod
    def parse(cls, name: str, content: dict[str, Any]) -> Setting:
        """Makes a setting of an entry of a schema.

        Raises:
            ValueError: If the entry has no type, or something else than the attributes above.
        """
        known = {it.name for it in fields(cls)}
        if unknown := content.keys() - known:
            raise ValueError(f"{name}: expected some of {', '.join(sorted(known))}, found {', '.join(unknown)}.")
        if content.get("type") not in get_args(Kind):
            raise ValueError(f"{name}: expected a type of {', '.join(get_args(Kind))}, found {content.get('type')!r}.")
        values: dict[str, Any] = {key: tuple(it) if isinstance(it, list) else it for key, it in content.items()}
        return cls(**values)

    @property
    def expected(self) -> str:
        """What the setting may be, in words."""
        several = self.length is not None
        noun = {
            "integer": "whole numbers" if several else "a whole number",
            "number": "numbers" if several else "a number",
            "yes_or_no": "True or False (or 1 or 0)",
            "text": "a text",
            "path": "a path",
            "one_of": f"one of {', '.join(map(str, self.values))}",
            "device": "a PyTorch device of this computer, such as cpu or cuda",
            "object": "an object",
        }[self.type]
        words = [f"{COUNTS.get(self.length, self.length)} {noun}" if self.length is not None else noun]
        if self.min is not None and self.max is not None:
            words.append(f"from {self.min:g} to {self.max:.10g}")
        else:
            bounds = {"of at least": self.min, "above": self.above, "of at most": self.max, "below": self.below}
            found = [f"{word} {number:g}" for word, number in bounds.items() if number is not None]
            words += [" and ".join(found)] if found else []
        if self.multiple_of is not None:
            words.append(f"divisible by {self.multiple_of}")
        if self.rising:
            words.append("none smaller than the one before")
        text = words[0] + (f" {words[1]}" if len(words) > 1 else "") + "".join(f", {word}" for word in words[2:])
        if self.length is not None:
            example = {"integer": max(self.multiple_of or 1, int(self.min or 1)), "number": float(self.max or 1)}
            text += f', as in "[{",".join([str(example.get(self.type, 0))] * self.length)}]"'
        return text + (", or None" if self.null else "")

    def read(self, given: Any) -> Any:
        """The value of the setting as it was given.

        Args:
            given: The value; of ``yes_or_no`` also 1, 0 and the words true and false in any case, as they come from a
                command line.

        Raises:
            ValueError: With what was expected and what was found, to be put after the setting's name.

        Example:
            >>> Setting(type="yes_or_no").read("false")
            False
            >>> Setting(type="integer", min=1).read(1.5)
            Traceback (most recent call last):
            ValueError: must be a whole number of at least 1, got 1.5.
        """
        if given is None:
            if self.null:
                return None
        elif self.length is None:
            value = self._one(given)
            if value is not REFUSED:
                return value
        elif isinstance(given, list | tuple) and len(given) == self.length:
            values = [self._one(value) for value in given]
            rising = not self.rising or REFUSED in values or values == sorted(values)
            if REFUSED not in values and rising:
                return values
        hint = _device_hint(given) if self.type == "device" else ""
        raise ValueError(f"must be {self.expected}, got {given!r}{hint}.")

    def _one(self, given: Any) -> Any:
        """One value, or ``REFUSED``."""
        match self.type:
            case "yes_or_no":
                return WORDS.get(str(given).strip().lower(), REFUSED)
            case "text":
                return given if isinstance(given, str) and given else REFUSED
            case "path":
                return given if isinstance(given, str | os.PathLike) and str(given).strip() else REFUSED
            case "one_of":
                return given if not isinstance(given, bool | list | dict) and given in self.values else REFUSED
            case "device":
                return REFUSED if _device_hint(given) else given
            case "object":
                return given
        kind = Integral if self.type == "integer" else Real
        if isinstance(given, bool) or not isinstance(given, kind) or not math.isfinite(given):
            return REFUSED
        number = int(given) if isinstance(given, Integral) else float(given)
        return number if self._in_range(number) else REFUSED

    def _in_range(self, number: Any) -> bool:
        return (
            (self.min is None or number >= self.min)
            and (self.max is None or number <= self.max)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
            and (self.multiple_of is None or number % self.multiple_of == 0)
        )


REFUSED = object()
WORDS = {"true": True, "1": True, "false": False, "0": False}


def _device_hint(given: Any) -> str:
    """Why a device cannot be used; nothing if it can."""
    import torch  # the command line's help needs this module, but not PyTorch

    try:
        device = torch.device(given)
    except (RuntimeError, TypeError):
        return ", which is the name of none"
    found = torch.cuda.device_count()
    if device.type == "cuda" and not 0 <= (device.index or 0) < found:
        return f", but PyTorch finds {f'only {found} CUDA GPUs' if found else 'no CUDA GPU'} here; give cpu"
    if device.type not in ("cpu", "cuda"):
        try:
            torch.empty(0, device=device)
        except Exception as error:  # each back end raises what it likes where it is missing
            return f", which does not work here ({(str(error).splitlines() or [''])[0]}); give cpu"
    return ""
