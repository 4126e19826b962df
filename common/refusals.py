"""What is wrong with the user's input is shown as a message, not as a traceback, unless that is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from traceback import walk_tb
from types import TracebackType
from typing import Any

VARIABLE = "COMMON_DEBUG"
"""Environment variable that asks for tracebacks, if it is neither empty nor 0."""

BUNDLE_COMMAND = "monai.bundle.__main__"

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def shown_in_full() -> bool:
    """Whether tracebacks were asked for."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def reason(error: BaseException) -> BaseException:
    """The error that MONAI's own errors, which name an expression of the config, were raised from."""
    while error.__cause__ is not None and _raised_in(error, "monai."):
        error = error.__cause__
    return error


def refused(error: BaseException) -> str | None:
    """The message of this package about input that it refuses; None for any other error."""
    found = reason(error)
    ours = isinstance(found, ValueError | OSError | ImportError | FloatingPointError) and _raised_in(found, "common.")
    return str(found) if ours else None


def show_refusals_alone() -> None:
    """Lets ``python -m monai.bundle`` end with the message alone where this package refuses the input.

    Other programs are left as they are, and so is every error of another kind.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name == BUNDLE_COMMAND and not shown_in_full():
        sys.excepthook = _hook(sys.__excepthook__)


def _hook(usual: Hook) -> Hook:
    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = refused(error)
        if message is None:
            usual(kind, error, trace)
        else:
            print(f"Error: {message}", file=sys.stderr)

    return show


def _raised_in(error: BaseException, package: str) -> bool:
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__", "").startswith(package)
