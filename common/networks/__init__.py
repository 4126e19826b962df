from common.networks.stitched_sam import StitchedSam
from common.networks.vnet import VNet

__all__ = ["StitchedSam", "VNet"]
