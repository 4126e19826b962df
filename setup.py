"""Takes the bundles' configs into the package, where an installed ``python -m common`` finds them."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithBundles(build_py):
    """Copies the configs beside the package's modules, unless the repository itself is used (``pip install -e``)."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for config in sorted(Path("bundles").glob("*/configs/*")):
            target = Path(self.build_lib, "common", "shipped", config)
            self.mkpath(str(target.parent))
            self.copy_file(str(config), str(target))


setup(cmdclass={"build_py": BuildWithBundles})
