"""The 3D network of a study, used as its bundle's ``inference.json`` says, with the newest weights that there are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from common.checks import check_checkpoint
from common.cohort.volumes import read_voxels
from common.engines.inferer import ProbabilityInferer
from common.files import read_json
from common.networks import load_pretrained, model_file
from common.query.prediction import Prediction

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PredictedScan:
    """What the specialist makes of a scan.

    Attributes:
        label: Likeliest class of each voxel, uint8 ``[H, W, D]`` on the grid of the image's file.
        affine: Affine of that grid, 4x4.
        prediction: Probabilities, and features if the network has any to give, on the grid that the network sees.
    """

    label: np.ndarray
    affine: np.ndarray
    prediction: Prediction


class Specialist:
    """Predicts scans with the model of a run or, until that has one, with the one that comes with the bundle.

    Before every prediction it is looked whether the file of the weights has changed, so that a new model is used at
    once. Weights of another network are refused.

    Args:
        bundle: Folder of the bundle.
        run: Folder of the run.
        labels: Name of each class 1..K of the study.
        device: Device that it runs on.
    """

    def __init__(
        self, bundle: str | Path, run: str | Path, *, labels: Mapping[int, str], device: torch.device | str = "cpu"
    ) -> None:
        self.bundle = Path(bundle)
        self.run = Path(run)
        self.labels = dict(labels)
        self.device = torch.device(device)
        self._known: tuple[Any, ...] = ()
        self._identity = ""
        self._parts: dict[str, Any] = {}

    @property
    def file(self) -> Path:
        """The file of the weights that are used now, whether it exists or not."""
        return model_file(self.run, self.bundle)

    @property
    def identity(self) -> str:
        """A checksum of the weights that are used now; of a file that is copied it is the same.

        Raises:
            FileNotFoundError, ValueError: If there is no model, or it is not one of this study.
        """
        self._load()
        return self._identity

    @property
    def channels(self) -> int:
        """Number of channels of the images that the model takes."""
        self._load()
        return int(self._parts["channels"])

    def predict(self, image: str | Path) -> PredictedScan:
        """Predicts a scan.

        Args:
            image: NIfTI file of the scan, on any grid.

        Raises:
            FileNotFoundError: If there are no weights yet, or no such image.
            ValueError: If the weights do not fit, or the image is damaged.
        """
        self._load()
        _, opened = read_voxels(image, self._parts["channels"])
        data = self._parts["preprocessing"]({"image": str(image)})
        images, inferer = data["image"].as_tensor()[None].to(self.device), self._parts["inferer"]
        network, features = self._parts["network"], None
        if isinstance(inferer, ProbabilityInferer) and callable(getattr(network, "features", None)):
            probabilities, features = (found[0] for found in inferer.with_features(images, network))
        else:
            probabilities = inferer(images, network)[0]
        data["pred"] = MetaTensor(probabilities, meta=data["image"].meta)
        label = np.asarray(self._parts["postprocessing"](data)["pred"].cpu())[0].astype(np.uint8)
        return PredictedScan(label, opened.affine, Prediction(probabilities, features))

    def _load(self) -> None:
        """Reads the weights, and the settings beside them, if they have changed."""
        file = self.file
        check_checkpoint(file)
        status = file.stat()
        known = (file, status.st_mtime_ns, status.st_size)
        if known == self._known:
            return
        parser = ConfigParser()
        parser.read_config(self.bundle / "configs" / "inference.json")
        parser.update({"bundle_root": str(self.bundle), "output_dir": str(self.run), "device": self.device})
        steps = parser.get("postprocessing#transforms")
        parser["postprocessing#transforms"] = [step for step in steps if step["_target_"] != "SaveImaged"]
        classes = parser.get_parsed_content("num_classes")
        if classes != len(self.labels) + 1:
            names = ", ".join(self.labels.values())
            raise ValueError(
                f"{file}: expected a model of {len(self.labels)} classes ({names}) and the background, found one of "
                f"{classes - 1}; train one from scratch, or name the model's own classes."
            )
        network = parser.get_parsed_content("network_def")
        load_pretrained(network, file)
        self._parts = {name: parser.get_parsed_content(name) for name in ("preprocessing", "inferer", "postprocessing")}
        self._parts["network"] = network.to(self.device).eval()
        self._parts["channels"] = parser.get_parsed_content("channels") if parser.get("channels") else 1
        with file.open("rb") as content:
            self._identity = hashlib.blake2b(content.read(), digest_size=16).hexdigest()
        self._known = known
        logger.info("The model is %s.", file)


def class_names(bundle: str | Path) -> dict[int, str]:
    """Name of each class 1..K that a bundle segments, as its metadata say."""
    outputs = read_json(Path(bundle) / "configs" / "metadata.json")["network_data_format"]["outputs"]
    names = next(iter(outputs.values()))["channel_def"]
    return {int(value): str(name) for value, name in names.items() if int(value) > 0}
