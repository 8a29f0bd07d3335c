"""Small models with a loss per example, and dense Hessians made another way (forward over reverse)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from experiments.tasks.task import Batch, Params, Task


@dataclass(kw_only=True)
class Given(Task):
    """A task of a function `losses(params, batch)`, with `data` in a dict of tensors."""

    function: Any
    data: Batch
    start: Params

    @property
    def size(self) -> int:
        return len(next(iter(self.data.values())))

    def init(self, generator: torch.Generator | None = None) -> Params:
        return self.start

    def batch(self, draws: Tensor | None) -> Batch:
        return self.data if draws is None else {k: v[draws] for k, v in self.data.items()}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        return self.function(params, batch)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class GPT(nn.Module):
    def __init__(self, width: int = 4, words: int = 5, length: int = 3) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        x = x + self.attention(self.norm1(x))
        return self.head(x + self.mlp(self.norm2(x)))


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=5, n_positions=3, n_embd=4, n_layer=1, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def _tokens(model: nn.Module, wrap: bool) -> Given:
    tokens = torch.randint(5, (4, 4))

    def losses(params: Params, batch: Batch) -> Tensor:
        seen, following = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
        if wrap:
            mask = {"attention_mask": torch.ones_like(seen, dtype=torch.float64), "use_cache": False}
            logits = torch.func.functional_call(model, params, (seen,), mask).logits
        else:
            logits = torch.func.functional_call(model, params, (seen,))
        return F.cross_entropy(logits.transpose(1, 2), following, reduction="none").mean(dim=1)

    return _given(model, losses, {"tokens": tokens})


def _given(model: nn.Module, losses: Any, data: Batch) -> Given:
    start = {k: p.detach() + 0.2 * torch.randn_like(p) for k, p in model.named_parameters()}
    return Given(function=losses, data=data, start=start)


def _classes(model: nn.Module, inputs: Tensor) -> Given:
    targets = torch.randint(3, (len(inputs),))

    def losses(params: Params, batch: Batch) -> Tensor:
        logits = torch.func.functional_call(model, params, (batch["inputs"],))
        return F.cross_entropy(logits, batch["targets"], reduction="none")

    return _given(model, losses, {"inputs": inputs, "targets": targets})


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.GELU(approximate="tanh"),
        nn.AvgPool2d(2), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Sigmoid(), nn.Linear(5, 5), nn.Softplus(), nn.Linear(5, 4),
        nn.SiLU(), nn.Linear(4, 4), nn.ELU(), nn.Linear(4, 4), nn.LeakyReLU(0.1), nn.Linear(4, 3),
    )  # fmt: skip


def make(name: str) -> Given:
    """The task of this name, in float64."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        if name == "logistic":
            rows = torch.randn(9, 4)

            def logistic(params: Params, batch: Batch) -> Tensor:
                w = params["weight"]
                return F.softplus(-(batch["rows"] @ w)) + 0.05 * w.dot(w)

            return Given(function=logistic, data={"rows": rows}, start={"weight": torch.randn(4)})
        if name == "mlp":
            return _classes(mlp(), torch.randn(7, 4))
        if name == "cnn":
            return _classes(cnn(), torch.randn(5, 2, 8, 8))
        return _tokens(gpt2(), True) if name == "gpt2" else _tokens(GPT(), False)
    finally:
        torch.set_default_dtype(before)


NAMES = ("logistic", "mlp", "cnn", "gpt", "gpt2")


def flat(params: Params) -> Tensor:
    return torch.cat([p.reshape(-1) for p in params.values()])


def unflat(vector: Tensor, like: Params) -> Params:
    parts = vector.split([p.numel() for p in like.values()])
    return {k: part.reshape(p.shape) for (k, p), part in zip(like.items(), parts, strict=True)}


def dense_hessian(task: Given, params: Params, batch: Batch) -> Tensor:
    """(D, D): the Jacobian, column by column in forward mode, of the reverse-mode gradient."""

    def gradient(vector: Tensor) -> Tensor:
        return torch.func.grad(lambda v: task.losses(unflat(v, params), batch).mean())(vector)

    at = flat(params)
    with sdpa_kernel(SDPBackend.MATH):
        columns = [torch.func.jvp(gradient, (at,), (e,))[1] for e in torch.eye(len(at), dtype=at.dtype)]
    return torch.stack(columns, dim=1)
