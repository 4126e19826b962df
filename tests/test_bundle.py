"""How configs find the package, from anywhere, and what they say if they do not."""

import os
import shutil
import subprocess
import sys

import pytest

import common
from common.bundle import MODULES, Modules
from tests.bundles.workflows import ROOT

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if path.is_dir())


def test_every_module_that_configs_name_is_there():
    modules = Modules(ROOT / "bundles" / "fmabs_la")
    assert all(getattr(modules, name).__name__ == module for name, module in MODULES.items())
    with pytest.raises(AttributeError, match="common has none of cheks; configs can use annotations"):
        _ = modules.cheks


@pytest.mark.parametrize("bundle", BUNDLES)
def test_no_config_imports_the_package_by_a_statement(bundle):
    for path in (ROOT / "bundles" / bundle / "configs").glob("*.json"):
        assert "import common" not in path.read_text(), path


def test_a_folder_that_is_no_bundle(tmp_path):
    with pytest.raises(FileNotFoundError, match="bundle_root: expected the folder of a bundle, found no configs"):
        Modules(tmp_path)


@pytest.mark.parametrize("version", [common.__version__, "9.8.7"])
def test_a_bundle_with_a_copy_of_the_package(version, tmp_path):
    for name, text in (("configs/metadata.json", "{}"), ("common/__init__.py", f'__version__ = "{version}"\n')):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    if version == common.__version__:
        assert Modules(tmp_path).checks.yes_or_no("x", "true") is True
    else:
        with pytest.raises(ValueError, match=rf"expected version 9\.8\.7 .* found {common.__version__} loaded from"):
            Modules(tmp_path)


@pytest.fixture(scope="module")
def travelled(tmp_path_factory):
    """A folder with a bundle that was copied out of the repository, with its copy of the package and without one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("with", "without"):
        shutil.copytree(ROOT / "bundles" / "fmabs_la", folder / name)
    shutil.copytree(ROOT / "common", folder / "with" / "common", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def inference(bundle, *words, cwd):
    """Runs inference with a fresh interpreter that knows other packages but not this one, installed or not."""
    command = [sys.executable, "-S", "-m", "monai.bundle", "run", "inference", "--config_file"]
    words = [str(bundle / "configs" / "inference.json"), *words]
    packages = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    environment = {"PATH": "", "PYTHONPATH": packages}
    return subprocess.run(command + words, cwd=cwd, capture_output=True, text=True, env=environment)


def test_from_elsewhere_a_bundle_uses_its_own_copy(travelled):
    done = inference(travelled / "with", "--typo", "3", cwd=travelled)
    assert done.returncode != 0 and "has no setting for typo" in done.stderr


def test_a_bundle_without_the_package_names_the_remedy(travelled):
    done = inference(travelled / "without", cwd=travelled)
    assert done.returncode == 1 and "Failed to evaluate" not in done.stderr
    assert "`common` was not found: install the wheel label-efficient-bundles" in done.stderr.splitlines()[-1]
