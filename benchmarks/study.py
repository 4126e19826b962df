"""Compares methods on a cohort in three parts: a pool, scans on which everything is chosen, and scans to report on.

    python benchmarks/study.py --study benchmarks/studies/hippocampus.json --dataset_dir COHORT

The study's file says how the cohort is made and what each method is. Methods annotate scans of the pool alone (the
cohort's training split). Choices are made on the tuning part (its validation split, `--part tuning`); the report part
(its test split) is for methods whose settings are final. Every run ends with its last iteration's network. Each run
leaves a JSON file of its scores, costs and times in the folder of results, and is not made again where it is there;
the same command resumes an interrupted study.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fire
from study_file import Evaluation, read_study
from study_page import markdown, plot
from study_run import Result, make_run, read_result
from tables import words

from common.checks import check_one_of
from common.cohort import Cohort


def main(
    study: str,
    dataset_dir: str,
    output_dir: str | None = None,
    methods: str | None = None,
    seeds: str = "0,1,2,3,4",
    part: str = "report",
    jobs: int = 2,
    results: str | None = None,
    largest_volumes: int | None = None,
    table: str | None = None,
    picture: str | None = None,
) -> None:
    """Makes the runs that are missing, prints the tables, and writes them to a Markdown file.

    Args:
        study: The study's JSON file.
        dataset_dir: Folder of the cohort.
        output_dir: Folder of the runs, `runs/NAME` by default.
        methods: Methods to compare, comma-separated; by default all.
        seeds: Seeds of the runs, comma-separated.
        part: Part to evaluate on, `report` or `tuning`.
        jobs: Number of runs at a time, with one thread each.
        results: Folder of the runs' scores; by default one in `output_dir`.
        largest_volumes: Number of 3D components of each class that the predictions of all methods keep, largest first;
            by default all.
        table: Markdown file to write; by default none.
        picture: PNG file of the plot; by default none.
    """
    evaluation = Evaluation(part, largest_volumes)
    content = read_study(study)
    cohort = Cohort.open(dataset_dir)
    content.check(cohort)
    chosen = words(methods) if methods else list(content.methods)
    for method in chosen:
        check_one_of("methods", method, content.methods)
    numbers = [int(seed) for seed in words(seeds)]
    folder = Path(output_dir or Path("runs", Path(study).stem)).resolve()
    kept = Path(results).resolve() if results else folder / "results"
    files = {(method, seed): kept / f"{method}_{seed}_{evaluation.name}.json" for seed in numbers for method in chosen}
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    missing = [run for run in files if not files[run].is_file()]
    # nnU-Net learns from what other runs have annotated.
    rivals = [run for run in missing if content.methods[run[0]].kind == "nnunet"]
    for runs in ([run for run in missing if run not in rivals], rivals):
        with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
            made = [
                pool.submit(_make, content.path, *run, evaluation, cohort.folder.resolve(), folder, files[run])
                for run in runs
            ]
            for run in made:
                run.result()
    found: dict[str, list[Result]] = {
        method: [read_result(files[method, seed]) for seed in numbers] for method in chosen
    }
    command = f"python benchmarks/study.py --study {study} --dataset_dir COHORT --seeds {','.join(map(str, numbers))}"
    command += f" --methods {','.join(chosen)}" if methods else ""
    command += "" if part == "report" else f" --part {part}"
    command += "" if largest_volumes is None else f" --largest_volumes {largest_volumes}"
    text = markdown(content, found, evaluation=evaluation, command=command)
    print(text)
    if table:
        Path(table).write_text(text)
    if picture:
        plot(content, found, Path(picture))


def _make(
    study: Path, method: str, seed: int, evaluation: Evaluation, cohort_dir: Path, folder: Path, file: Path
) -> None:
    found = read_study(study).methods[method]
    result = make_run(found, seed, evaluation, cohort_dir=cohort_dir, folder=folder / f"{method}_{seed}")
    result.write(file)


if __name__ == "__main__":
    fire.Fire(main)
