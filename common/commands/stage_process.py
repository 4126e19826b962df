"""One stage of a bundle in a process of its own, which leaves a status file for the command that started it.

``python -m common.commands.stage_process STATUS BUNDLE STAGE [CONFIG …]``; it ends when its standard input does.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from common.commands.bundles import run_workflow
from common.files import write_json
from common.refusals import reason


class Warnings(logging.Handler):
    """Keeps the texts of this package's warnings.

    Attributes:
        texts: The warnings in order.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one warning."""
        self.texts.append(record.getMessage())


def main(status: str, bundle: str, *configs: str) -> None:
    """Runs the stage; exits with 1 if it fails.

    Args:
        status: JSON file that gets ``warnings``, this package's in order, and ``error``, None or what went wrong.
        bundle: Folder of the bundle.
        configs: See :func:`common.commands.bundles.run_workflow`.
    """
    warnings = Warnings()
    logging.getLogger("common").addHandler(warnings)
    found: dict[str, Any] = {"error": None, "warnings": warnings.texts}
    try:
        run_workflow(Path(bundle), configs, {})
    except Exception as error:  # whatever the stage raises, the command that started it has to be told
        traceback.print_exc()
        found["error"] = explain(error)
    write_json(status, found)
    sys.exit(found["error"] is not None)


def end_with_parent() -> None:
    """Ends this process as soon as the command that started it is gone, killed or not: its pipe is closed then."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def explain(error: BaseException) -> str:
    """What went wrong, in the words of the error that MONAI's own were raised from."""
    found = reason(error)
    return f"{type(found).__name__}: {found}"


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    main(*sys.argv[1:])
