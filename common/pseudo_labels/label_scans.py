"""Labels scans with a network under several augmentations, and gives each label a confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ignite.distributed as idist
import torch
from monai.data import Dataset

from common import IGNORE_INDEX
from common.cohort.volumes import spacing
from common.engines.inferer import ProbabilityInferer
from common.engines.scans import each_scan
from common.files import digest
from common.generalists.multi_view import MultiViewLabeler
from common.generalists.sam.stitched import CONFIDENCE_VIEWS, StitchedSam, StitchedView
from common.pseudo_labels.agreement import view_agreement
from common.pseudo_labels.files import PseudoLabelFolder


def confidence_views(number: int) -> tuple[StitchedView, ...]:
    """The first so many ways to lay out and turn a stitched image, of which the first is the plain one.

    Args:
        number: 1, as in SFR, or up to 4 for labels and confidences by the agreement of several (ours).

    Raises:
        ValueError: If the number is out of its range.
    """
    if type(number) is not int or not 1 <= number <= len(CONFIDENCE_VIEWS):
        raise ValueError(f"views must be a whole number from 1 to {len(CONFIDENCE_VIEWS)}, got {number!r}.")
    return CONFIDENCE_VIEWS[:number]


class PseudoLabelling:
    """Writes a pseudo-label for every scan (SFR, IEEE TMI 2025, eq. 3), with its confidence (ours).

    One scan is in memory at a time; scans that are in the folder already are skipped.

    Args:
        dataset: Dataset of items with `image` `[channels, H, W, D]` in RAS orientation and `scan`, the id.
        network: The network, on the device.
        inferer: Inferer that gives probabilities of a whole scan.
        folder: Folder that gets the pseudo-labels.
        views: Ways in which the stitched image is turned. The label is that of their mean, the confidence that of
            their agreement.
        device: Device on which to run.
        dilation: Voxels by which the foreground is dilated for the scan's confidence; see `view_agreement`.
        refine: Improves the network's label map of an image, e.g. by an embedded generalist that it prompts; not in the
            paper, for networks that were trained from scratch. A scan's confidence is then multiplied by
            `agreed_share`.

    Raises:
        ValueError: If there is no view, or the folder's labels were made by another network or with other settings.
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
        refine: MultiViewLabeler | None = None,
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
            "refined": refine is not None,
        }
        self.folder = PseudoLabelFolder(folder, made_by)
        self.views = tuple(views)
        self.device = torch.device(device)
        self.dilation = dilation
        self.refine = refine

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Labels the scans that have no label yet; gives the confidence of every scan."""
        missing = [item["scan"] for item in self.dataset.data if item["scan"] not in self.folder.scans]
        first = idist.get_rank() == 0
        for scan, image in each_scan(
            self.dataset, self.network, self.device, what="pseudo-labels", scans=missing, progress=first
        ):
            probabilities = []
            for view in self.views:
                self.network.view = view
                probabilities.append(self.inferer(image.as_tensor()[None], self.network)[0])
            self.network.view = StitchedView()
            stacked = torch.stack(probabilities)
            label = stacked.mean(dim=0).argmax(dim=0).to(torch.uint8)
            affine = image.affine.cpu().numpy()
            agreement = view_agreement(stacked, dilation=self.dilation)
            score = agreement.scan
            if self.refine is not None:
                row, column, depth = spacing(affine).tolist()
                label = self.refine(image.as_tensor()[0], label, spacing=(row, column, depth))
                score *= agreed_share(label)
            self.folder.add(scan, label.cpu().numpy(), agreement.voxels.cpu().numpy(), affine, score)
        return {scan: entry["confidence"] for scan, entry in self.folder.scans.items()}


def agreed_share(label: torch.Tensor) -> float:
    """Share of the foreground and abstentions (255) that is foreground: how far a refined label's views agree, 0..1."""
    abstained = int((label == IGNORE_INDEX).sum())
    foreground = int((label > 0).sum()) - abstained
    return foreground / max(1, foreground + abstained)
