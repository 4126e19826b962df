"""Runs workflows of bundles one after the other, in each of several processes: ``torchrun … this_file JOBS.json``.

A job is ``{"bundle": …, "configs": […], "settings": {…}}``, and its configs are files of the bundle without ``.json``.
With ``"die": [rank, iteration]`` the process of that rank is killed after that iteration.
"""

import json
import os
import signal
import sys

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from tests.bundles.workflows import ROOT


def run_job(bundle, configs, settings, die=None):
    folder = ROOT / "bundles" / bundle
    flow = ConfigWorkflow(
        config_file=[str(folder / "configs" / f"{name}.json") for name in configs],
        workflow_type="train",
        logging_file=str(folder / "configs" / "logging.conf"),
        bundle_root=str(folder),
        **settings,
    )
    flow.initialize()
    if die is not None and int(os.environ["RANK"]) == die[0]:
        trainer = flow.parser.get_parsed_content("train#trainer")
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=die[1]), os.kill, os.getpid(), signal.SIGKILL)
    flow.run()
    flow.finalize()


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        for job in json.load(file):
            run_job(**job)
