"""Stage 2 that looks left and right at once: gated masked convolutions, scanned from the midline outwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from monai_vqoasis.errors import InputError
from monai_vqoasis.networks.masked_conv import MaskedConv2d
from monai_vqoasis.networks.prior import CodePrior
from monai_vqoasis.networks.recorded_settings import RecordsSettings

__all__ = ["ChannelNorm", "CodeStem", "GatedActivation", "GatedBlock", "GatedPixelCNN"]


class CodeStem(nn.Module):
    """Codes as short vectors, then a masked convolution of type A.

    Args:
        num_embeddings: number of codes K.
        embedding_dim: length of a code's vector.
        channels: output channels C.
        kernel_size: odd size of the kernel.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, embedding_dim)
        self.conv = MaskedConv2d(embedding_dim, channels, kernel_size, mask_type="A", upper_half=True)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (int64, B H W; or one-hot, float B K H W) to features B C H W."""
        if codes.is_floating_point():
            return self.conv(torch.einsum("bkhw,kd->bdhw", codes, self.embedding.weight))
        return self.conv(self.embedding(codes).movedim(-1, 1))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position of B C H W: nothing passes between positions."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class GatedActivation(nn.Module):
    """tanh(a) * sigmoid(b) of the two halves of the channels.

    van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders"
    (https://arxiv.org/abs/1606.05328), equation 2. Channels are the second dimension.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        a, b = input.chunk(2, 1)
        return a.tanh() * b.sigmoid()


class GatedBlock(nn.Module):
    """x + pointwise(dropout(gate(masked(norm(x))))).

    Args:
        channels: in and out.
        hidden_channels: after the gate.
        kernel_size: odd size of the masked (type B) kernel.
        dilation: of that kernel.
        dropout: probability with which a channel of a position is dropped.
    """

    def __init__(self, channels: int, hidden_channels: int, kernel_size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        masked = MaskedConv2d(
            channels, 2 * hidden_channels, kernel_size, mask_type="B", dilation=dilation, upper_half=True
        )
        self.layers = nn.Sequential(
            ChannelNorm(channels),
            masked,
            GatedActivation(),
            nn.Dropout(dropout),
            nn.Conv2d(hidden_channels, channels, 1),
        )
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.layers(features)


class GatedPixelCNN(RecordsSettings, CodePrior):
    """Prior of gated masked convolutions that sees both halves of a brain, and knows where it is and in which slice.

    Rows are scanned from the middle outwards, above and below in turn: 15, 16, 14, 17 ... of 32. In these slices the
    midline of the brain is the middle row, so that the row scanned just before the second of a pair is its mirror
    image, and the one before that its own neighbour: what makes left and right agree lies within the smallest kernel.
    Dilated kernels (van den Oord et al. 2016, https://arxiv.org/abs/1609.03499, for one dimension) reach over the rest
    of the grid; the weights record the dilations, see :class:`RecordsSettings`.

    Row, column and conditions are added as embeddings to what the first convolution makes of the codes. In training
    each condition is left out of a sample with probability ``condition_dropout`` (Ho and Salimans 2022,
    https://arxiv.org/abs/2207.12598), so that one network draws with and without them. Their embeddings start at zero,
    where those of values that training never sees stay (:meth:`trained_values`).

    Args:
        num_embeddings: number of codes K.
        shape: largest grid (H, W).
        embedding_dim: length of a code's vector.
        channels: width of the residual stream.
        hidden_channels: width inside the blocks.
        kernel_size: odd size of the first, type-A kernel.
        block_kernel_size: odd size of the type-B kernels.
        dilations: one block for each.
        dropout: see :class:`GatedBlock`.
        conditions: name and number of values of each condition, for example ``{"slice_index": 32}``.
        condition_dropout: see above.
    """

    def __init__(
        self,
        num_embeddings: int = 256,
        shape: Sequence[int] = (32, 32),
        embedding_dim: int = 64,
        channels: int = 128,
        hidden_channels: int = 64,
        kernel_size: int = 7,
        block_kernel_size: int = 5,
        dilations: Sequence[int] = (1, 2, 1, 4, 1, 2, 1),
        dropout: float = 0.1,
        conditions: Mapping[str, int] | None = None,
        condition_dropout: float = 0.2,
    ) -> None:
        super().__init__(num_embeddings, conditions)
        self.shape = tuple(shape)
        self.condition_dropout = condition_dropout
        self.dilations = tuple(dilations)
        self.stem = CodeStem(num_embeddings, embedding_dim, channels, kernel_size)
        self.row = nn.Embedding(shape[0], channels)
        self.column = nn.Embedding(shape[1], channels)
        self.conditions = nn.ModuleDict(
            {name: nn.Embedding(values, channels) for name, values in self.condition_values.items()}
        )
        for embedding in (self.row, self.column):
            nn.init.normal_(embedding.weight, std=0.1)
        for embedding in self.conditions.values():
            nn.init.zeros_(embedding.weight)
        self.blocks = nn.Sequential(
            *(GatedBlock(channels, hidden_channels, block_kernel_size, dilation, dropout) for dilation in dilations)
        )
        self.head = nn.Sequential(
            ChannelNorm(channels), nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, num_embeddings, 1)
        )

    def recorded_settings(self) -> dict[str, tuple[int, ...]]:
        return {"dilations": self.dilations}

    def trained_values(self, name: str) -> list[int]:
        """The values of a condition that training has seen."""
        return self.conditions[name].weight.any(1).nonzero()[:, 0].tolist()

    def scan_order(self, height: int, device: torch.device | str | None = None) -> torch.Tensor:
        """Rows from the middle outwards, above and below in turn."""
        # sorted in Python: ONNX has no stable sort
        return torch.tensor(sorted(range(height), key=lambda row: abs(2 * row - height + 1)), device=device)

    def forward(self, codes: torch.Tensor, **conditions: torch.Tensor) -> torch.Tensor:
        """Logits B K H W.

        Args:
            codes: int64, B H W; or their one-hot form, float B K H W.
            conditions: value of each condition for each sample, int64, B; -1 where it is not known.
        """
        shape = codes.shape[-2:]
        self.check_shape(shape)
        scan = self.scan_order(shape[0], codes.device)
        features = self.stem(codes.index_select(-2, scan)) + self.context(codes.shape[0], shape, conditions)
        return self.head(self.blocks(features)).index_select(2, scan.argsort())

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise InputError for a grid (H, W) larger than this prior's."""
        if shape[0] > self.shape[0] or shape[1] > self.shape[1]:
            raise InputError(f"this prior is for grids of up to {self.shape}, got {tuple(shape)}.")

    def context(self, batch: int, shape: Sequence[int], conditions: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What place and conditions add, B C H W, rows in scan order; in training some conditions are left out."""
        row = self.row(self.scan_order(shape[0], self.row.weight.device))
        place = row.unsqueeze(1) + self.column.weight[: shape[1]]
        total = self.row.weight.new_zeros(batch, self.row.embedding_dim)
        self.check_condition_names(conditions)
        for name, values in conditions.items():
            known = values >= 0
            if self.training:
                known &= torch.rand(batch, device=values.device) >= self.condition_dropout
            total = total + self.conditions[name](values.clamp_min(0)) * known.unsqueeze(1)
        return (place + total[:, None, None]).movedim(-1, 1)
