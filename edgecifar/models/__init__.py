"""Architectures by name, and what they cost."""

from edgecifar.models.cost import LayerCost, layer_costs
from edgecifar.models.registry import build_model, load_model

__all__ = ["LayerCost", "build_model", "layer_costs", "load_model"]
