"""The generalist that ships with the package: a small promptable U-Net, trained on procedurally generated pictures."""

from common.generalists.embedded.generalist import EmbeddedGeneralist
from common.generalists.embedded.prompt_unet import PromptUNet

__all__ = ["EmbeddedGeneralist", "PromptUNet"]
