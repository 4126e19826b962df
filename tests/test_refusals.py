"""Which errors are shown as a message alone, and where."""

import sys
from importlib.machinery import ModuleSpec

import pytest
from monai.bundle import ConfigParser

from common.checks import check_largest_volumes
from common.cohort.volumes import open_nifti
from common.refusals import BUNDLE_COMMAND, reason, refused, show_refusals_alone, shown_in_full


def raised(expression, **names):
    """What a config's expression ends in: MONAI's error, raised from ours."""
    with pytest.raises(RuntimeError, match="Failed to evaluate") as caught:
        ConfigParser({"it": expression}, globals=names).get_parsed_content("it")
    return caught.value


def test_the_message_of_the_package_is_found_in_monais_error():
    error = raised("$check(0)", check=check_largest_volumes)
    assert isinstance(reason(error), ValueError)
    assert refused(error) == "largest_volumes must be a whole number of at least 1 (or None), got 0."
    assert refused(raised("$read('nowhere.nii')", read=open_nifti)) == "nowhere.nii: no such file."


def test_errors_of_others_keep_their_traceback():
    assert refused(raised("$int('x')")) is None
    assert refused(raised("$1 / 0")) is None
    assert refused(raised("$check(None, 1)", check=check_largest_volumes)) is None


@pytest.fixture
def hook(monkeypatch):
    """The hook for uncaught errors, as it is set for a program."""

    def of(program):
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", ModuleSpec(program, None))
        show_refusals_alone()
        return sys.excepthook

    monkeypatch.delenv("COMMON_DEBUG", raising=False)
    return of


def test_a_bundles_command_ends_with_the_message(hook, capsys):
    error = raised("$check(0)", check=check_largest_volumes)
    hook(BUNDLE_COMMAND)(type(error), error, error.__traceback__)
    assert capsys.readouterr().err == f"Error: {refused(error)}\n"
    other = raised("$1 / 0")
    hook(BUNDLE_COMMAND)(type(other), other, other.__traceback__)
    assert "Traceback" in capsys.readouterr().err


def test_other_programs_and_who_asks_for_more_are_left_alone(hook, monkeypatch):
    assert hook("pytest.__main__") is sys.__excepthook__
    monkeypatch.setenv("COMMON_DEBUG", "1")
    assert shown_in_full() and hook(BUNDLE_COMMAND) is sys.__excepthook__
