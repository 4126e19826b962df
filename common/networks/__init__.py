"""The networks to train, their pre-trained weights and learning rates."""

from common.networks.learning_rates import parameter_groups
from common.networks.model_files import check_spacing, model_file, model_settings, network_sizes, without_wrapper
from common.networks.pretrained import Fit, load_pretrained
from common.networks.traced import ScriptableSwinUNETR, refuse_other_sizes
from common.networks.vnet import VNet

__all__ = [
    "Fit",
    "ScriptableSwinUNETR",
    "VNet",
    "check_spacing",
    "load_pretrained",
    "model_file",
    "model_settings",
    "network_sizes",
    "parameter_groups",
    "refuse_other_sizes",
    "without_wrapper",
]
