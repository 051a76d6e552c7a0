"""What each kind of layer does in a wave."""

from __future__ import annotations

from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.inferers.wavefront_plan import WavefrontPlan, bias_of
from monai_vqoasis.networks import GatedPixelCNN, MaskedCodeConv2d, MaskedConv2d, PixelCNN
from monai_vqoasis.networks.gated_pixelcnn import ChannelNorm, CodeStem, GatedActivation, GatedBlock
from monai_vqoasis.networks.pixelcnn import PixelCNNBlock

__all__ = ["plan_layer"]


@singledispatch
def plan_layer(module: nn.Module, plan: WavefrontPlan) -> None:
    """Append the steps of a module to a plan. Register a function of your own for a layer of your own.

    Raises:
        TypeError: naming the module, if no function is registered for it, or it is not causal.
    """
    raise TypeError(
        f"WavefrontSampler does not know how to compute {type(module).__name__} wave by wave: register a function "
        "for it with plan_layer.register, or sample with AncestralSampler."
    )


@plan_layer.register
def _(module: PixelCNN, plan: WavefrontPlan) -> None:
    for part in (module.stem, module.blocks, module.head):
        plan_layer(part, plan)


@plan_layer.register
def _(module: nn.Sequential, plan: WavefrontPlan) -> None:
    for layer in module:
        plan_layer(layer, plan)


@plan_layer.register(GatedBlock)
@plan_layer.register(PixelCNNBlock)
def _(module: nn.Module, plan: WavefrontPlan) -> None:
    with plan.residual():
        plan_layer(module.layers, plan)


@plan_layer.register
def _(module: MaskedCodeConv2d, plan: WavefrontPlan) -> None:
    seen, table = plan.seen_codes(module), module.table()
    plan.add(lambda x, wave: module.look_up(seen(wave), table))


@plan_layer.register
def _(module: CodeStem, plan: WavefrontPlan) -> None:
    seen, vectors = plan.seen_codes(module.conv), F.pad(module.embedding.weight, (0, 0, 0, 1))  # the last row: nothing
    weight = module.conv.weight[:, :, module.conv.mask].movedim(1, 2).flatten(1)
    bias = bias_of(module.conv)
    plan.add(lambda x, wave: F.linear(vectors[seen(wave)].flatten(1), weight, bias))


@plan_layer.register
def _(module: GatedPixelCNN, plan: WavefrontPlan) -> None:
    batch, *shape = plan.shape
    module.check_shape(shape)
    plan_layer(module.stem, plan)
    plan.add_context(module.context(batch, shape, plan.conditions))
    plan_layer(module.blocks, plan)
    plan_layer(module.head, plan)


@plan_layer.register
def _(module: MaskedConv2d, plan: WavefrontPlan) -> None:
    if module.kernel_size == (1, 1) and module.mask_type == "B":
        _plan_pointwise(module, plan)
    else:
        plan.add_convolution(module)


@plan_layer.register
def _(module: nn.Conv2d, plan: WavefrontPlan) -> None:
    if module.kernel_size != (1, 1) or module.stride != (1, 1) or module.padding != (0, 0) or module.groups != 1:
        raise TypeError(f"WavefrontSampler: {module} is neither masked nor pointwise, so it is not causal.")
    _plan_pointwise(module, plan)


@plan_layer.register
def _(module: nn.BatchNorm2d, plan: WavefrontPlan) -> None:
    scale = module.weight / torch.sqrt(module.running_var + module.eps)
    plan.add_affine(scale, module.bias - module.running_mean * scale)


@plan_layer.register
def _(module: ChannelNorm, plan: WavefrontPlan) -> None:
    plan.add(lambda x, wave: F.layer_norm(x, module.normalized_shape, module.weight, module.bias, module.eps))


@plan_layer.register(nn.ReLU)
@plan_layer.register(nn.GELU)
@plan_layer.register(GatedActivation)
def _(module: nn.Module, plan: WavefrontPlan) -> None:
    plan.add(lambda x, wave: module(x))


@plan_layer.register
def _(module: nn.Dropout, plan: WavefrontPlan) -> None:
    """Nothing: the network is in evaluation mode."""


def _plan_pointwise(conv: nn.Conv2d, plan: WavefrontPlan) -> None:
    plan.add_linear(conv.weight[:, :, 0, 0], bias_of(conv))
