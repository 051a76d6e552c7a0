"""Stage 2 that sees the whole of what has been drawn: attention in the order of waves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks.masked_conv import MaskedConv2d
from monai_vqoasis.networks.prior import CodePrior

__all__ = ["CodeStem", "CodeTransformer", "RelativeBias", "TransformerBlock", "WaveAttention"]


class CodeStem(nn.Module):
    """What the neighbours already drawn say: codes as short vectors, then a type-A convolution.

    Args:
        num_embeddings: number of codes K.
        embedding_dim: length of a code's vector.
        channels: output channels C.
        kernel_size: odd size of the kernel.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, embedding_dim)
        self.conv = MaskedConv2d(embedding_dim, channels, kernel_size, mask_type="A")

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (int64, B H W; or one-hot, float B K H W) to features B H W C."""
        if codes.is_floating_point():
            vectors = torch.einsum("bkhw,kd->bdhw", codes, self.embedding.weight)
        else:
            vectors = self.embedding(codes).movedim(-1, 1)
        return self.conv(vectors).movedim(1, -1)


class RelativeBias(nn.Module):
    """What attention adds for where a position lies: relative to the one that looks, and to its mirror image.

    One table over offsets (Shaw et al. 2018, https://arxiv.org/abs/1803.02155, as the scalar of Raffel et al. 2020,
    https://arxiv.org/abs/1910.10683), and one over offsets to the position mirrored about the middle row: left and
    right of a brain look alike, and in these slices the row is what tells them apart.

    Args:
        num_heads: one bias for each head.
        shape: largest grid (H, W).
    """

    def __init__(self, num_heads: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        size = (num_heads, 2 * shape[0] - 1, 2 * shape[1] - 1)
        self.offset = nn.Parameter(torch.zeros(size))
        self.mirrored = nn.Parameter(torch.zeros(size))

    def forward(self, looking: torch.Tensor, seen: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
        """Bias, heads N M.

        Args:
            looking: rows and columns of the positions that look, int64, N 2.
            seen: of those that are looked at, int64, M 2.
            shape: of the grid (H, W), at most that of the table.
        """
        (row, column), (seen_row, seen_column) = looking.T.unsqueeze(2), seen.T.unsqueeze(1)
        columns = seen_column - column + self.shape[1] - 1
        rows = seen_row - row + self.shape[0] - 1
        mirrored_rows = seen_row - (shape[0] - 1 - row) + self.shape[0] - 1
        return self.offset[:, rows, columns] + self.mirrored[:, mirrored_rows, columns]


class WaveAttention(nn.Module):
    """Attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) of each position to those it may see.

    Args:
        channels: features C of a position.
        num_heads: parts that they are split into.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Query, key and value of ``features`` (... N C), each ... heads N C/heads."""
        parts = self.query_key_value(features).unflatten(-1, (3, self.num_heads, -1))
        return tuple(part.transpose(-2, -3) for part in parts.unbind(-3))

    def forward(self, features: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Features B N C attended with ``bias`` (heads N N, -inf where a position may not look)."""
        query, key, value = self.split(features)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        return self.output(attended.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        channels: features C of a position.
        num_heads: of the attention.
        hidden_channels: of the two-layer perceptron.
        dropout: probability with which what a branch adds is dropped, feature by feature.
    """

    def __init__(self, channels: int, num_heads: int, hidden_channels: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = WaveAttention(channels, num_heads)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden_channels), nn.GELU(), nn.Linear(hidden_channels, channels))
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        features = features + self.dropout(self.attention(self.attention_norm(features), bias))
        return features + self.dropout(self.mlp(self.mlp_norm(features)))


class CodeTransformer(CodePrior):
    """Prior that attends to everything drawn in earlier waves: no blind spot in its order, and it knows where it is.

    A position sees its neighbours through :class:`CodeStem`, the rest through attention with :class:`RelativeBias`,
    and has an embedding of its row and column. Conditions are added to all positions; in training each is left out of
    a sample with probability ``condition_dropout`` (Ho and Salimans 2022, https://arxiv.org/abs/2207.12598), so that
    one network draws with and without them.

    Args:
        num_embeddings: number of codes K.
        shape: largest grid (H, W).
        channels: features C of a position.
        num_heads: of each attention.
        num_blocks: number of :class:`TransformerBlock`.
        hidden_channels: of their perceptrons.
        embedding_dim: length of a code's vector in the stem.
        kernel_size: odd size of the stem's kernel.
        dropout: see :class:`TransformerBlock`; also on what the blocks begin with.
        slope: of the waves, at least what the stem's kernel needs; more sees more and takes more steps.
        conditions: name and number of values of each condition, for example ``{"slice_index": 32}``.
        condition_dropout: see above.

    Raises:
        ValueError: for a slope that the stem's kernel does not allow, or codes of a larger grid.
    """

    def __init__(
        self,
        num_embeddings: int = 256,
        shape: Sequence[int] = (32, 32),
        channels: int = 128,
        num_heads: int = 4,
        num_blocks: int = 8,
        hidden_channels: int = 384,
        embedding_dim: int = 32,
        kernel_size: int = 5,
        dropout: float = 0.1,
        slope: int = 4,
        conditions: dict[str, int] | None = None,
        condition_dropout: float = 0.2,
    ) -> None:
        super().__init__(num_embeddings)
        self.shape = tuple(shape)
        self.condition_dropout = condition_dropout
        self.stem = CodeStem(num_embeddings, embedding_dim, channels, kernel_size)
        if slope < super().slope:
            raise ValueError(f"slope must be at least {super().slope} for a kernel of {kernel_size}, got {slope}.")
        self._slope = slope
        self.row = nn.Parameter(torch.randn(shape[0], 1, channels) * 0.02)
        self.column = nn.Parameter(torch.randn(1, shape[1], channels) * 0.02)
        self.conditions = nn.ModuleDict({name: nn.Embedding(n, channels) for name, n in (conditions or {}).items()})
        for embedding in self.conditions.values():
            nn.init.normal_(embedding.weight, std=0.02)
        self.bias = RelativeBias(num_heads, shape)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TransformerBlock(channels, num_heads, hidden_channels, dropout) for _ in range(num_blocks)
        )
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, num_embeddings))

    @property
    def slope(self) -> int:
        return self._slope

    def forward(self, codes: torch.Tensor, **conditions: torch.Tensor) -> torch.Tensor:
        """Logits B K H W.

        Args:
            codes: int64, B H W; or their one-hot form, float B K H W.
            conditions: value of each condition for each sample, int64, B; -1 where it is not known.
        """
        shape = codes.shape[-2:]
        self.check_shape(shape)
        context = self.context(len(codes), conditions)
        features = self.stem(codes) + self.place(shape) + context[:, None, None]
        features = self.dropout(features.flatten(1, 2))
        bias = self.attention_bias(shape)
        for block in self.blocks:
            features = block(features, bias)
        return self.head(features).movedim(-1, 1).unflatten(2, shape)

    def check_shape(self, shape: Sequence[int]) -> None:
        """Raise ValueError for a grid (H, W) larger than this prior's."""
        if shape[0] > self.shape[0] or shape[1] > self.shape[1]:
            raise ValueError(f"this prior is for grids of up to {self.shape}, got {tuple(shape)}.")

    def place(self, shape: Sequence[int]) -> torch.Tensor:
        """Embedding of each position of a grid, H W C."""
        return self.row[: shape[0]] + self.column[:, : shape[1]]

    def context(self, batch: int, conditions: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the conditions add, B C; in training some are left out."""
        total = self.row.new_zeros(batch, self.row.shape[-1])
        for name, values in conditions.items():
            if name not in self.conditions:
                raise ValueError(f"this prior has no condition {name}; it has {', '.join(self.conditions) or 'none'}.")
            known = values >= 0
            if self.training:
                known &= torch.rand(batch, device=values.device) >= self.condition_dropout
            total = total + self.conditions[name](values.clamp_min(0)) * known.unsqueeze(1)
        return total

    def attention_bias(self, shape: Sequence[int]) -> torch.Tensor:
        """Relative bias, and -inf where a position lies in a later wave, or beside in its own: heads N N."""
        wave = self.wave(shape, self.row.device).flatten()
        positions = torch.cartesian_prod(*(torch.arange(n, device=self.row.device) for n in shape))
        hidden = wave >= wave.unsqueeze(1)
        hidden.fill_diagonal_(False)
        return self.bias(positions, positions, shape).masked_fill(hidden, -torch.inf)
