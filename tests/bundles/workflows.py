"""Bundles' workflows as the tests run them, and interrupt them."""

from contextlib import contextmanager
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from common.commands.bundles import config_files
from common.run_folder import _held

ROOT = Path(__file__).resolve().parents[2]


def workflow(bundle, stage, settings):
    """One of a bundle's workflows, as ``monai.bundle run`` makes it."""
    folder = ROOT / "bundles" / bundle
    return ConfigWorkflow(
        config_file=[str(file) for file in config_files(folder, stage)],
        workflow_type=stage if stage in ("train", "inference") else "inference",
        logging_file=str(folder / "configs" / "logging.conf"),
        bundle_root=str(folder),
        **settings,
    )


def run(bundle, stage, settings):
    """Initialises and runs a workflow to its end."""
    flow = workflow(bundle, stage, settings)
    flow.initialize()
    flow.run()
    flow.finalize()
    let_go()
    return flow


def let_go():
    """Releases the folders that runs of this process hold, as if it had ended."""
    while _held:
        _held.popitem()[1].release(force=True)


class Stop(RuntimeError):
    """What interrupts a run."""


def stop(engine):
    """A handler that interrupts a run."""
    raise Stop


@contextmanager
def refused(kind, message=""):
    """MONAI wraps what goes wrong in a config's expression; the error itself is the first of the chain."""
    with pytest.raises(RuntimeError, match="Failed to") as caught:
        yield
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, kind)
    assert message in str(error)
