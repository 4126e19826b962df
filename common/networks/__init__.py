"""The networks to train, their pre-trained weights and learning rates."""

from common.networks.learning_rates import parameter_groups
from common.networks.pretrained import Fit, load_pretrained
from common.networks.vnet import VNet

__all__ = ["Fit", "VNet", "load_pretrained", "parameter_groups"]
