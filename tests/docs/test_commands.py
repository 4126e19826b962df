"""Every command of the documentation is one that this project understands, and is run by a test or said not to be."""

from __future__ import annotations

import re

import pytest

from tests.bundles.workflows import ROOT
from tests.docs.check import BUNDLES, check, options
from tests.docs.pages import PAGES, RUN, Block, all_blocks, inline_commands

BLOCKS = all_blocks()


def bundle_after(words: list[str]) -> str | None:
    """The bundle in whose folder the commands after this one are run."""
    name = words[1].rsplit("/", 1)[-1]
    return name if name in BUNDLES else None


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_commands_are_understood(block: Block) -> None:
    bundle = None
    for words in block.commands:
        if words[0] == "cd":
            bundle = bundle_after(words)
        else:
            check(words, bundle)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_are_understood(page: str) -> None:
    for place, words in inline_commands(page):
        try:
            check(words, mentioned=True)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    if block.marker is None:
        assert block.page in RUN, "no test runs this block: say so in the line before it, see tests/docs/pages.py"
        return
    kind, text = block.marker
    if kind == "run by":
        files = re.findall(r"[\w/]+\.(?:py|md)", text)
        assert files and all((ROOT / file).is_file() for file in files), text


WRONG = [
    ("nox -s demos", "expected -s and names"),
    ("python -m common reports RUN", "reports"),
    ("python -m common phantom --target COHORT --scan 3", "--scan"),
    ("python -m common phantom --target COHORT --scans none", "scans"),
    ("python -m pip install -e .[prepares]", "the extras are"),
    ("python benchmarks/stitch.py", "there is no such file"),
    ("python benchmarks/scale.py --scan 3", "has no option scan"),
    ("python benchmarks/training_step.py compare", "has no command compare"),
    ("python -m monai.bundle run training --config_file bundles/fmabs_la/configs/trains.json", "no such file"),
    ("python -m monai.bundle run train_it --config_file bundles/fmabs_la/configs/train.json", "do not have it"),
    ("python -m monai.bundle run --config_file bundles/fmabs_la/configs/train.json --budgets 3", "budgets"),
    ("python -m monai.bundle run --config_file bundles/fmabs_la/configs/train.json --budget none", "budget"),
    ("python -m monai.bundle runs --config_file bundles/fmabs_la/configs/train.json", "monai.bundle runs"),
]


@pytest.mark.parametrize(("command", "message"), WRONG)
def test_wrong_commands_are_found(command: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(command.split())


def test_options_are_read_as_fire_reads_them() -> None:
    words = ["--roi_size", "[1,2]", "--flag", "--name=a", "--low", "-1"]
    assert options(words) == {"roi_size": [1, 2], "flag": True, "name": "a", "low": -1} | {"1": True}
