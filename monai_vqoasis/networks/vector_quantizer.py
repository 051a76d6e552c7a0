"""The codebook: nearest code, straight-through gradient, and two ways to learn it."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from monai_vqoasis.networks.processes import from_first_process, gather_rows, pick_rows, sum_over_processes

__all__ = ["VectorQuantizer", "VectorQuantizerOutput", "codebook_fingerprint", "kmeans_plus_plus"]


class VectorQuantizerOutput(NamedTuple):
    """What :class:`VectorQuantizer` returns.

    Attributes:
        quantized: B D H W, the chosen codebook vectors; their gradient passes straight through to the input.
        codes: int64, B H W, in [0, num_embeddings).
        loss: scalar, the commitment term, with the codebook term where the book is learned by gradient.
    """

    quantized: torch.Tensor
    codes: torch.Tensor
    loss: torch.Tensor


class VectorQuantizer(nn.Module):
    r"""Replaces each vector by the nearest one (Euclidean distance) of a learned codebook.

    With encoder output :math:`z`, nearest code :math:`e` and stop-gradient :math:`sg`, the loss is

    .. math:: \beta \lVert z - sg(e) \rVert^2 \; [+ \lVert sg(z) - e \rVert^2 \text{ if } \textit{learning} = gradient]

    averaged over elements: van den Oord et al. 2017, "Neural Discrete Representation Learning"
    (https://arxiv.org/abs/1711.00937), equation 3. With ``learning="ema"`` the codebook term is replaced by
    moving averages of what each code was given, its count :math:`N_k` and sum :math:`m_k` (appendix A.1 there):

    .. math:: N_k \leftarrow \gamma N_k + (1 - \gamma) n_k, \quad
              m_k \leftarrow \gamma m_k + (1 - \gamma) \sum_{z \to k} z, \quad e_k = m_k / N_k .

    Both averages start at zero, so that the bias of the start cancels in :math:`m_k / N_k` and a code that has
    never been used keeps its vector; usage is judged by :math:`N_k / (1 - \gamma^t)` as in Adam.

    The book changes only inside a training step: in training mode with gradients enabled. Encoding, validation,
    a forward pass under ``no_grad`` and a batch with non-finite values leave it untouched.

    Where ``torch.distributed`` has several processes, a training step learns from the batches of all of them as one
    process would from the joined batch, and the book stays the same in all.

    Args:
        num_embeddings: number of codes K.
        embedding_dim: length D of a code.
        commitment_cost: the weight beta of the commitment term.
        learning: ``"ema"`` (moving averages, codebook in buffers) or ``"gradient"`` (codebook a parameter).
        decay: gamma of the moving averages, in (0, 1).
        data_init: start from k-means++ seeds of the first training batch instead of the uniform start.
        revival_threshold: a code used less than this share of uniform use (1 / K of the vectors) is dead and moves
            onto a badly represented vector of the current batch; 0 never revives. Needs ``learning="ema"``.
        init_range: half-width of the uniform start.

    Raises:
        ValueError: for an unknown ``learning``, a decay outside (0, 1), or revival with ``learning="gradient"``.
    """

    def __init__(
        self,
        num_embeddings: int = 256,
        embedding_dim: int = 256,
        commitment_cost: float = 0.25,
        learning: str = "ema",
        decay: float = 0.99,
        data_init: bool = True,
        revival_threshold: float = 0.03,
        init_range: float = 0.05,
    ) -> None:
        super().__init__()
        if learning not in ("ema", "gradient"):
            raise ValueError(f'learning must be "ema" or "gradient", got {learning!r}.')
        if not 0 < decay < 1:
            raise ValueError(f"decay must lie in (0, 1), got {decay}.")
        if revival_threshold and learning == "gradient":
            raise ValueError('revival_threshold needs learning="ema": a gradient book has no record of its use.')
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.learning = learning
        self.decay = decay
        self.revival_threshold = revival_threshold

        start = torch.empty(num_embeddings, embedding_dim).uniform_(-init_range, init_range)
        if learning == "gradient":
            self.embedding = nn.Parameter(start)
        else:
            self.register_buffer("embedding", start)
        # there either way, so that weights load for use without knowing how their book was learned
        self.register_buffer("ema_count", torch.zeros(num_embeddings))
        self.register_buffer("ema_sum", torch.zeros(num_embeddings, embedding_dim))
        self.register_buffer("ema_steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("initialized", torch.tensor(not data_init))

    def encode(self, encoding: torch.Tensor) -> torch.Tensor:
        """Nearest codes of ``encoding`` (B D H W) as int64, B H W. Of two equally near codes the first wins."""
        return self._nearest(self._flatten(encoding)).view(encoding.shape[:1] + encoding.shape[2:])

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Codebook vectors of ``codes`` (int64, B H W) as B D H W."""
        return F.embedding(codes, self.embedding).movedim(-1, 1).contiguous()

    def forward(self, encoding: torch.Tensor) -> VectorQuantizerOutput:
        """Quantise ``encoding`` (B D H W), and learn from it if this is a training step."""
        learns = self.training and torch.is_grad_enabled()
        flat = self._flatten(encoding)
        if not torch.jit.is_scripting() and learns and not self.initialized:
            self._initialize(flat.detach())
        flat_codes = self._nearest(flat)
        codes = flat_codes.view(encoding.shape[:1] + encoding.shape[2:])
        embedding = self.decode(codes)

        encoding = encoding.float()
        loss = self.commitment_cost * F.mse_loss(encoding, embedding.detach())
        if self.learning == "gradient":
            loss = loss + F.mse_loss(embedding, encoding.detach())
        # written so that the forward value is the codebook vector to the last bit
        quantized = embedding.detach() + (encoding - encoding.detach()) if learns else embedding
        if not torch.jit.is_scripting() and learns and self.learning == "ema":
            self._update(flat.detach(), flat_codes)
        return VectorQuantizerOutput(quantized, codes, loss)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, learning={self.learning!r}, decay={self.decay}"

    def _flatten(self, encoding: torch.Tensor) -> torch.Tensor:
        """B D H W to N D in float32, whatever autocast made of it."""
        return encoding.float().movedim(1, -1).reshape(-1, self.embedding_dim)

    def _nearest(self, flat: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_scripting():  # TorchScript knows no autocast for whichever device comes
            return self._similarity(flat).argmax(1)
        with torch.autocast(flat.device.type, enabled=False), torch.no_grad():
            return self._similarity(flat).argmax(1)

    def _similarity(self, flat: torch.Tensor) -> torch.Tensor:
        # |z - e|^2 = |z|^2 - 2 (z.e - |e|^2 / 2): the first term is the same for all codes of one z
        half_norm = self.embedding.square().sum(1) / 2
        return torch.addmm(-half_norm, flat, self.embedding.T)

    @torch.no_grad()
    def _initialize(self, flat: torch.Tensor) -> None:
        vectors = gather_rows(flat)
        if vectors.isfinite().all():
            self.embedding.copy_(from_first_process(kmeans_plus_plus(vectors, self.num_embeddings)))
            self.initialized.fill_(True)

    @torch.no_grad()
    def _update(self, flat: torch.Tensor, flat_codes: torch.Tensor) -> None:
        count = torch.bincount(flat_codes, minlength=self.num_embeddings).to(flat.dtype)
        total = torch.zeros_like(self.ema_sum).index_add_(0, flat_codes, flat)
        statistics = sum_over_processes(torch.cat([total, count.unsqueeze(1)], 1))
        if not statistics.isfinite().all():
            return
        total, count = statistics[:, :-1], statistics[:, -1]
        self.ema_count.lerp_(count, 1 - self.decay)
        self.ema_sum.lerp_(total, 1 - self.decay)
        self.ema_steps += 1
        used = self.ema_count > torch.finfo(flat.dtype).tiny
        mean = self.ema_sum / self.ema_count.clamp_min(torch.finfo(flat.dtype).tiny).unsqueeze(1)
        self.embedding.copy_(torch.where(used.unsqueeze(1), mean, self.embedding))
        if self.revival_threshold:
            self._revive(flat, flat_codes, int(count.sum()))

    def _revive(self, flat: torch.Tensor, flat_codes: torch.Tensor, num_vectors: int) -> None:
        """Move dead codes onto vectors of this batch, drawn in proportion to their squared error.

        A revived code starts with uniform use, which is its time of grace: unused, it is dead again after
        log(revival_threshold) / log(decay) steps.
        """
        uniform = num_vectors / self.num_embeddings * (1 - self.decay ** self.ema_steps.item())
        dead = (self.ema_count < self.revival_threshold * uniform).nonzero().squeeze(1)
        if not len(dead):
            return
        error = gather_rows((flat - self.embedding[flat_codes]).square().sum(1))
        candidates = int((error > 0).sum())
        dead = dead[:candidates]
        if len(dead):
            chosen = pick_rows(flat, from_first_process(torch.multinomial(error, len(dead))))
            self.embedding[dead] = chosen
            self.ema_count[dead] = uniform
            self.ema_sum[dead] = chosen * uniform


def kmeans_plus_plus(vectors: torch.Tensor, num_clusters: int) -> torch.Tensor:
    """Seeds spread over the data: each is drawn in proportion to its squared distance from those before it.

    Arthur and Vassilvitskii 2007, "k-means++: the advantages of careful seeding". Unlike a uniform draw it does not
    spend most codes on the background, which most vectors of a brain slice are.

    Args:
        vectors: N D, finite.
        num_clusters: number K of seeds.

    Returns:
        K D. Where the data hold fewer than K different vectors the remaining seeds repeat random vectors.
    """
    seeds = torch.empty(num_clusters, vectors.shape[1], dtype=vectors.dtype, device=vectors.device)
    distance = torch.full((len(vectors),), torch.inf, dtype=vectors.dtype, device=vectors.device)
    uniform = torch.ones_like(distance)
    for k in range(num_clusters):
        weights = distance if k and distance.max() > 0 else uniform
        seeds[k] = vectors[torch.multinomial(weights, 1).item()]
        distance = torch.minimum(distance, (vectors - seeds[k]).square().sum(1))
    return seeds


def codebook_fingerprint(embedding: torch.Tensor) -> torch.Tensor:
    """SHA-256 of a codebook's float32 bytes, as uint8[32]: the same book, and only it, gives the same fingerprint."""
    book = embedding.detach().to("cpu", torch.float32).contiguous()
    return torch.frombuffer(bytearray(hashlib.sha256(book.numpy().tobytes()).digest()), dtype=torch.uint8).clone()
