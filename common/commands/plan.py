"""``python -m common plan``: settings of a training from the cohort itself."""

from __future__ import annotations

from pathlib import Path

from common.commands.options import AnnotationKind, AnyPath, Gigabytes, Modality, Text

BUNDLE = "fmabs_la"
FILE, OTHERS = "plan.json", "plan_{}.json"
"""Names of the plan for that bundle, and for the others."""


def plan(
    dataset_dir: AnyPath,
    bundle: Text = BUNDLE,
    device: Text | None = None,
    memory_gb: Gigabytes | None = None,
    annotation: AnnotationKind | None = None,
    modality: Modality | None = None,
    target: AnyPath | None = None,
    overwrite: bool = False,
) -> None:
    """Look at a cohort and write settings of a training that fit it, with reasons: DATASET_DIR/plan.json.

    Args:
        dataset_dir: Folder of the cohort.
        bundle: Bundle that will be trained; the file for another than fmabs_la is plan_BUNDLE.json.
        device: PyTorch device that will train it, such as cuda or cpu; a GPU of this computer if there is one.
        memory_gb: Memory of that device in GB (10^9 bytes); by default it is looked up here.
        annotation: slices or dense, what people annotate; by default what the bundle learns from, and slices where the
            cohort's labels are annotated in part only.
        modality: ct, mr or other; by default it is taken from the datalist or the intensities.
        target: File that is written instead.
        overwrite: Whether a file that was changed by hand may be replaced.
    """
    from common.cohort import Cohort
    from common.commands.bundles import check_stage, find_bundle
    from common.files import read_json
    from common.plan import Recipe, check_target, find_machine, make_plan, plan_text, read_fingerprint, write_plan

    recipe = Recipe(bundle, read_json(find_bundle(bundle) / "configs" / "train.json"))
    machine = find_machine(device, memory_gb)
    cohort = Cohort.open(dataset_dir)
    file = Path(target) if target else cohort.folder / (FILE if bundle == BUNDLE else OTHERS.format(bundle))
    check_target(file, overwrite=overwrite)
    fingerprint = read_fingerprint(cohort, modality=modality)
    made = make_plan(fingerprint, recipe, machine, annotation=annotation)
    check_stage(bundle, "train", made.settings)
    write_plan(file, made, overwrite=overwrite)
    scans = f"{fingerprint.read} of {fingerprint.training} training scans read"
    print(f"{cohort.name} for {bundle} on {machine.device}, {scans}:\n{plan_text(made)}\n")
    print(f"Written to {file}.")
    if made.resample is None:
        print(f"Train with it:\n{_training(bundle, file, cohort.folder)}")
    else:
        print(f"First resample the scans, and plan those:\n{_preparing(cohort.folder, made.resample)}")


def _training(bundle: str, file: Path, dataset_dir: Path) -> str:
    configs = f"['bundles/{bundle}/configs/train.json','{file}']"
    return f'python -m monai.bundle run training --config_file "{configs}" --dataset_dir {dataset_dir} --output_dir RUN'


def _preparing(dataset_dir: Path, spacing: str) -> str:
    """The command that made the cohort, with another spacing; its further options are the user's."""
    from common.files import RECORD, read_json

    record = dataset_dir / RECORD
    maker = str(read_json(record).get("made by", "")) if record.is_file() else ""
    words = maker if maker.startswith("prepare ") else f"prepare folder --images {dataset_dir}/images"
    return f"python -m common {words} … --target {dataset_dir}_{spacing} --spacing {spacing}"
