"""Labels scans by a network, under several augmentations, with a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import torch
from monai.data import Dataset
from tqdm import tqdm

from common.engines.inferer import ProbabilityInferer
from common.generalists.embeddings import digest
from common.networks.stitched_sam import StitchedSam, StitchedView
from common.pseudo_labels.confidence import confidence
from common.pseudo_labels.files import PseudoLabelFolder


class PseudoLabelling:
    """Writes a pseudo-label for every scan, with its confidence (SFR, SFR+).

    One scan is in memory at a time; scans that the folder has are not labelled again.

    Args:
        dataset: items with `image` `[channels, H, W, D]` in RAS orientation and `scan`, the id.
        network: on the device.
        inferer: gives probabilities of a whole scan.
        folder: where they go.
        views: how the stitched image is turned; the label is the mean's, the confidence is of their agreement.
        device: on which to run.
        dilation: see `confidence`.

    Raises:
        ValueError: if there is no view, or the folder's labels were made by another network or with other settings.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        network: StitchedSam,
        inferer: ProbabilityInferer,
        folder: str | Path,
        views: Sequence[StitchedView],
        device: torch.device | str,
        dilation: int = 3,
    ) -> None:
        if not views:
            raise ValueError("views must be at least one, got none")
        self.dataset = dataset
        self.network = network
        self.inferer = inferer
        made_by = {
            "network": digest(*network.state_dict().values()),
            "windows": f"{inferer.roi_size}, overlap {inferer.overlap}",
            "views": [str(view) for view in views],
            "dilation": dilation,
        }
        self.folder = PseudoLabelFolder(folder, made_by)
        self.views = tuple(views)
        self.device = torch.device(device)
        self.dilation = dilation

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Labels what is not labelled yet; gives the confidence of every scan."""
        self.network.eval()
        positions = [
            position for position, item in enumerate(self.dataset.data) if item["scan"] not in self.folder.scans
        ]
        for position in tqdm(positions, desc="pseudo-labels", unit="scan", disable=idist.get_rank() != 0):
            item = self.dataset[position]
            image = item["image"].to(self.device)
            probabilities = []
            for view in self.views:
                self.network.view = view
                probabilities.append(self.inferer(image.as_tensor()[None], self.network)[0])
            self.network.view = StitchedView()
            stacked = torch.stack(probabilities)
            label = stacked.mean(dim=0).argmax(dim=0).to(torch.uint8).cpu().numpy()
            sure = confidence(stacked, dilation=self.dilation)
            self.folder.add(item["scan"], label, sure.voxels.cpu().numpy(), image.affine.cpu().numpy(), sure.scan)
        return {scan: entry["confidence"] for scan, entry in self.folder.scans.items()}
