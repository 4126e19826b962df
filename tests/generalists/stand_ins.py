"""Generalists whose answers can be worked out by hand."""

import torch


class BoxGeneralist:
    """Answers with the box itself (pixels whose centre lies in it)."""

    def segment(self, images, prompts, spacing):
        rows = torch.arange(images.shape[1])[:, None] + 0.5
        columns = torch.arange(images.shape[2])[None, :] + 0.5
        left, top, right, bottom = (prompts.boxes[:, i, None, None] for i in range(4))
        return ((columns > left) & (columns < right) & (rows > top) & (rows < bottom)).float()


class ThresholdGeneralist:
    """Answers with the pixels of the box that are brighter than 0.5."""

    def segment(self, images, prompts, spacing):
        return BoxGeneralist().segment(images, prompts, spacing) * (images[prompts.slice_index] > 0.5)
