"""The options of the command line: what each may be, said and checked like the settings of the bundles."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from common.settings.setting import Setting


def option(**what: Any) -> Parameter:
    """An option of a command.

    Args:
        **what: What it may be, see :class:`common.settings.Setting`.
    """
    setting = Setting(**what)

    def read(_: Any, words: Sequence[Token]) -> Any:
        text = words[0].value
        return setting.read(_value(text) if setting.type in ("integer", "number") else text)

    return Parameter(converter=read, n_tokens=1, json_list=False)


def _value(text: str) -> Any:
    """The number or numbers that a text holds; the text itself if it holds something else."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _sides(_: Any, words: Sequence[Token]) -> Any:
    given = _value(words[0].value)
    one, three = (Setting(type="integer", min=16, length=length) for length in (None, 3))
    try:
        return (three if isinstance(given, list | tuple) else one).read(given)
    except ValueError:
        raise ValueError(
            f"must be one whole number of at least 16, or three as in [64,64,32], got {given!r}."
        ) from None


def _millimetres(_: Any, words: Sequence[Token]) -> Any:
    given = _value(words[0].value)
    one, three = (Setting(type="number", above=0, length=length) for length in (None, 3))
    try:
        return (three if isinstance(given, list | tuple) else one).read(given)
    except ValueError:
        raise ValueError(f"must be a number above 0, or three as in [0.8,0.8,5.0], got {given!r}.") from None


Folder = Annotated[str, option(type="folder")]
"""A path where a folder is or can be made."""
AnyPath = Annotated[str, option(type="path")]
"""A path of a file or folder."""
Text = Annotated[str, option(type="text")]
Seed = Annotated[int, option(type="integer", min=0, max=4294967295)]
Positive = Annotated[int, option(type="integer", min=1)]
Count = Annotated[int, option(type="integer", min=0)]
Share = Annotated[float, option(type="number", above=0, max=1)]
Probability = Annotated[float, option(type="number", min=0, max=1)]
Millimetres = Annotated[float | list[float], Parameter(converter=_millimetres, n_tokens=1, json_list=False)]
"""A voxel size in millimetres: one number, or three along right, anterior and superior."""
Gigabytes = Annotated[float, option(type="number", above=0)]
Modality = Annotated[str, option(type="one_of", values=("ct", "mr", "other"))]
AnnotationKind = Annotated[str, option(type="one_of", values=("slices", "dense"))]
VoxelSize = Annotated[list[float], option(type="number", above=0, length=3)]
Percentiles = Annotated[list[float], option(type="number", min=0, max=100, length=2, rising=True)]
Splits = Annotated[list[int], option(type="integer", min=0, length=3)]
Sides = Annotated[int | list[int], Parameter(converter=_sides, n_tokens=1, json_list=False)]
