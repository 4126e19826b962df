"""Whether a command of the documentation is one that this project understands; nothing is run."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import PurePath
from typing import Any

import pytest

import common.__main__
from common.commands.bundles import check_stage
from common.files import read_json
from tests.bundles.workflows import ROOT

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir())
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*")
"""Words in capital letters, which stand for what the reader has."""

OWN = ("bundles/", "benchmarks/", "tests/", "docs/", "monailabel_app/")
"""Beginnings of paths in the repository."""

MONAI = {"config_file", "meta_file", "logging_file", "bundle_root", "tracking", "tracking_uri", "experiment_name"}
MONAI |= {"run_name", "save_execute_config", "workflow_name", "args_file"}
"""Options of ``monai.bundle run`` itself."""

WITH_ITS_OWN = ("download", "ckpt_export", "onnx_export", "download_large_files", "push_to_hf_hub")
"""Other commands of ``monai.bundle``; their configs are looked at alone."""


class Understood(Exception):
    """Ends a command before it does anything."""


def check(words: list[str], bundle: str | None = None, *, mentioned: bool = False) -> None:
    """Checks one command.

    Args:
        words: The command's words.
        bundle: The bundle in whose folder it is run; None for the repository's.
        mentioned: Whether it stands within a sentence, where arguments may be missing.

    Raises:
        ValueError: If it is not understood.
    """
    while re.match(r"\w+=", words[0]):
        words = words[1:]
    files = [file for word in words for file in word.split(",") if file.startswith(OWN)]
    if missing := [file for file in files if not (ROOT / file).exists()]:
        raise ValueError(f"{' '.join(missing)}: there is no such file.")
    if words[0] == "torchrun":
        words = ["python", *words[words.index("-m") :]]
    match words:
        case ["nox", *rest]:
            check_nox(rest)
        case ["python", "-m", "common", *rest]:
            check_common(rest, mentioned=mentioned)
        case ["python", "-m", "common.settings"]:
            pass
        case ["python", "-m", "monai.bundle", "run", *rest]:
            check_run(rest, bundle, mentioned=mentioned)
        case ["python", "-m", "monai.bundle", command, *rest]:
            if command not in WITH_ITS_OWN:
                raise ValueError(f"monai.bundle {command}: none of {', '.join(WITH_ITS_OWN)}.")
            if "config_file" in (given := options(rest)):
                check_files(given["config_file"], bundle)
        case ["python", "-m", "pip", "install", *rest]:
            check_extras(rest)
        case ["python", script, *rest] if script.startswith("benchmarks/"):
            check_benchmark(script, rest, mentioned=mentioned)
        case ["python", "tests/collaborator.py", *_]:
            pass


def check_nox(words: list[str]) -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE))
    own = words[: words.index("--")] if "--" in words else words
    if own[:1] != ["-s"] or not set(own[1:]) <= sessions or not own[1:]:
        raise ValueError(f"nox {' '.join(words)}: expected -s and names among {', '.join(sorted(sessions))}.")


def check_extras(words: list[str]) -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    extras = set(settings["options.extras_require"])
    for word in words:
        if (named := re.fullmatch(r"\.\[(.+)\]", word)) and not set(named[1].split(",")) <= extras:
            raise ValueError(f"pip install {word}: the extras are {', '.join(sorted(extras))}.")


def check_common(words: list[str], *, mentioned: bool) -> None:
    """Lets the command line itself read the words."""
    app = common.__main__.app

    def read(words: list[str]) -> None:
        app.parse_args(words, exit_on_error=False, print_error=False)
        raise Understood

    if mentioned and not any(word.startswith("-") for word in words):
        _, _, rest = app.parse_commands(words)
        if words and rest == words:
            raise ValueError(f"python -m common {' '.join(words)}: there is no such command.")
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common.__main__, "app", read)
        try:
            common.__main__.main([word for word in words if word not in ("all", "NAME…")])
        except Understood:
            return
        except Exception as error:
            if mentioned and "requires an argument" in str(error):
                return
            raise ValueError(f"python -m common {' '.join(words)}: {error}") from error


def check_run(words: list[str], bundle: str | None, *, mentioned: bool) -> None:
    """The config files are there, what is run is in them, and the bundle's schema takes the settings."""
    given = options(words)
    names = [word for word in words[:1] if not word.startswith("-")]
    if mentioned and "config_file" not in given:
        return
    bundle, files = check_files(given.get("config_file"), bundle)
    stage = next(name for name in reversed(files) if name != "ours")
    merged = {key for name in files for key in read_json(ROOT / "bundles" / bundle / "configs" / f"{name}.json")}
    if missing := [name for name in names if name not in merged]:
        raise ValueError(f"monai.bundle run {missing[0]}: {', '.join(files)} of {bundle} do not have it.")
    check_stage(bundle, stage, {name: value for name, value in given.items() if name not in MONAI})


def check_files(config_file: Any, bundle: str | None) -> tuple[str, list[str]]:
    """The bundle, and the names of its configs in their order; files of the reader's own are left out."""
    folder = ROOT if bundle is None else ROOT / "bundles" / bundle
    names: list[str] = []
    for file in config_file if isinstance(config_file, list) else [config_file]:
        if PLACEHOLDER.fullmatch(PurePath(str(file)).parts[0].removesuffix(".json")):
            continue
        path = folder / str(file)
        if not path.is_file():
            raise ValueError(f"--config_file {file}: there is no such file.")
        bundle = path.parents[1].name
        names.append(path.stem)
    if bundle not in BUNDLES or not names:
        raise ValueError(f"--config_file {config_file}: expected the config of a bundle.")
    return bundle, names


def check_benchmark(script: str, words: list[str], *, mentioned: bool) -> None:
    """The script is there and has these options, and none that it needs is missing."""
    tree = ast.parse((ROOT / script).read_text())
    functions = {node.name: node.args for node in tree.body if isinstance(node, ast.FunctionDef)}
    name = words[0] if words and not words[0].startswith("-") else "main"
    known, needed = set(), set()
    if "ArgumentParser" in ast.dump(tree):
        known = {text[2:] for text in re.findall(r"\"(--\w+)\"", (ROOT / script).read_text())}
    elif name in functions:
        arguments = functions[name]
        own = [argument.arg for argument in arguments.args]
        known = {*own, *(argument.arg for argument in arguments.kwonlyargs)}
        needed = set(own[: len(own) - len(arguments.defaults)])
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        needed |= {argument.arg for argument, default in keywords if default is None}
    else:
        raise ValueError(f"{script} has no command {name}.")
    given = set(options(words))
    if not given <= known:
        raise ValueError(f"{script} has no option {', '.join(sorted(given - known))}.")
    if needed - given and not mentioned:
        raise ValueError(f"{script} needs {', '.join(sorted(needed - given))}.")


def options(words: list[str]) -> dict[str, Any]:
    """Options as Fire reads them: names, and values as Python where they are Python."""
    found: dict[str, Any] = {}
    for place, word in enumerate(words):
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if not equals:
            after = words[place + 1 : place + 2]
            value = after[0] if after and not after[0].startswith("--") else "True"
        try:
            found[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name] = value
    return found
