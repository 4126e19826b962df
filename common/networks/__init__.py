from common.networks.vnet import VNet

__all__ = ["VNet"]
