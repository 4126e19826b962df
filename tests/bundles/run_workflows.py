"""Runs bundles' workflows in each of several processes: ``torchrun … -m tests.bundles.run_workflows JOBS.json``.

A job is ``{"bundle": …, "configs": […], "settings": {…}}``, and its configs are files of the bundle without ``.json``.
With ``"die": [rank, iteration]`` the process of that rank is killed after that iteration. A single job starts and ends
the processes as its configs say; several jobs take turns in the same processes.
"""

import json
import os
import signal
import sys

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from common.engines import end_processes, start_processes
from tests.bundles.workflows import ROOT


def run_job(*, bundle, configs, settings, die=None):
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


def main(file):
    with open(file) as opened:
        jobs = json.load(opened)
    if len(jobs) == 1:
        run_job(**jobs[0])
        return
    start_processes("cpu", timeout_minutes=1)
    for job in jobs:
        run_job(**job | {"settings": job["settings"] | {"processes": None, "finalize": None}})
    end_processes()


if __name__ == "__main__":
    main(sys.argv[1])
