"""The project's sessions: ``nox -s demo``, ``tests``, ``lint``, ``typecheck``, ``bench``, ``label``, ``label_tests``,
``rival``, ``docs``, ``pack``, ``collaborator``, ``release``.

Every session installs the versions in ``constraints.txt``. Arguments after ``--`` are handed on, for instance
``nox -s tests -- -m "not slow"``.
"""

from __future__ import annotations

import configparser
import shutil

import nox

nox.options.sessions = ["tests"]
nox.options.reuse_venv = "yes"

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

LABEL_APP = "monailabel_app"


def install(session: nox.Session, *requirements: str) -> None:
    """Installs requirements in their pinned versions."""
    session.install("--constraint", "constraints.txt", *requirements)


def install_project(session: nox.Session, *requirements: str, extras: str = "prepare") -> None:
    """Installs the project, torch before everything that depends on it."""
    install(session, "torch")
    install(session, *requirements, "--editable", f".[{extras}]")


@nox.session
def demo(session: nox.Session) -> None:
    """The whole method on a phantom cohort, with a report."""
    install_project(session)
    session.run("python", "-m", "common", "demo", "--output_dir", "runs/demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, in two processes of one thread each."""
    install_project(session, extras="test,tracking")
    session.run("python", "-m", "pytest", "--numprocesses", "2", *session.posargs, env=ONE_THREAD)


@nox.session
def lint(session: nox.Session) -> None:
    """Lint and format."""
    install(session, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Types of the package."""
    install_project(session, "mypy")
    session.run("mypy")


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks of speed, small enough for a laptop."""
    install_project(session)
    for arguments in (
        ["training_step.py", "--steps", "5", "--repeats", "3"],
        ["inference.py", "--share", "0.2"],
        ["labelling.py"],
    ):
        session.run("python", f"benchmarks/{arguments[0]}", *arguments[1:])


def install_monai_label(session: nox.Session) -> None:
    """Installs MONAI Label, whose own pins contradict one another, from a complete list."""
    install_project(session, extras="test")
    session.install("--no-deps", "--requirement", f"{LABEL_APP}/requirements.txt")


@nox.session
def label(session: nox.Session) -> None:
    """Labels a study with MONAI Label: ``nox -s label -- --studies DIR [--models fmabs_la] [--conf NAME VALUE]``.

    ``--install`` installs it and starts nothing. Other arguments go to ``monailabel start_server``.
    """
    install_monai_label(session)
    words = list(session.posargs)
    if "--install" in words:
        return
    if "--studies" not in words:
        session.error("name the folder of the study's NIfTI images: nox -s label -- --studies DIR")
    if "--models" in words:
        words[(place := words.index("--models")) : place + 1] = ["--conf", "models"]
    defaults = [] if "--host" in words else ["--host", "127.0.0.1"]
    session.run("monailabel", "start_server", "--app", LABEL_APP, *defaults, *words)


@nox.session
def label_tests(session: nox.Session) -> None:
    """Tests of the MONAI Label app: a real server, driven as its clients drive it."""
    install_monai_label(session)
    session.run("python", "-m", "pytest", "tests/monailabel_app", *session.posargs, env=ONE_THREAD)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site: ``dist/site``. The package is read, not run, so that PyTorch is not needed."""
    settings = configparser.ConfigParser()
    settings.read("setup.cfg")
    install(session, *settings["options.extras_require"]["docs"].split())
    # Without Material's notice that MkDocs 2 will be another program, which setup.cfg keeps away.
    session.run("mkdocs", "build", "--strict", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def rival(session: nox.Session) -> None:
    """nnU-Net beside the methods of a study, in an environment of its own: arguments as for ``benchmarks/study.py``."""
    install_project(session, "nnunetv2==2.8.1")
    session.run("python", "benchmarks/study.py", *session.posargs, env=ONE_THREAD)


@nox.session
def pack(session: nox.Session) -> None:
    """All bundles as zip files, the wheel, and their checksums: ``dist/bundles``."""
    install_project(session, extras="pack")
    session.run("python", "-m", "common", "pack", *(session.posargs or ["all"]))


@nox.session
def collaborator(session: nox.Session) -> None:
    """The bundles as somebody meets who downloads them; they are packed first, in environments of their own."""
    session.run("python", "tests/collaborator.py", *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """All that a release needs: tests, a new ``dist/bundles`` that is checked, and what to do next."""
    install_project(session, extras="test,tracking")
    session.run("python", "-m", "common", "release", "--only_check", *session.posargs)
    session.run("python", "-m", "pytest", "--numprocesses", "2", env=ONE_THREAD)
    shutil.rmtree("dist/bundles", ignore_errors=True)
    session.run("python", "-m", "common", "release", *session.posargs)
