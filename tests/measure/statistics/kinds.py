"""Small models of every kind with a loss per example, and brute force: one autograd pass for each example."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Params = dict[str, Tensor]
Case = tuple[nn.Module, Params, Callable[[Params, Params], Tensor], Params]  # model, parameters, losses, batch


def case(model: nn.Module, inputs: Tensor, call: Callable[..., Tensor] | None = None) -> Case:
    """A loss that is not quadratic, with a weight for each number that the model gives."""
    model = model.double()
    params = {k: p.detach() + 0.1 * torch.randn_like(p) for k, p in model.named_parameters() if p.requires_grad}

    def losses(given: Params, batch: Params) -> Tensor:
        output = torch.func.functional_call(model, given, (batch["inputs"],)) if call is None else call(given, batch)
        flat = output.flatten(1)
        weights = torch.linspace(0.5, 1.5, flat.shape[1], dtype=flat.dtype)
        return ((flat - batch["shift"][:, None]).tanh() * weights).sum(dim=1)

    shift = torch.linspace(-1, 1, len(inputs), dtype=torch.float64)
    return model, params, losses, {"inputs": inputs, "shift": shift}


class MeanOf(nn.Module):
    """Tokens embedded, passed through a module, and averaged."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x).mean(dim=1)


class Tied(nn.Module):
    """An embedding whose weight is the head's, as in language models."""

    def __init__(self, words: int = 7, width: int = 3) -> None:
        super().__init__()
        self.words, self.middle = nn.Embedding(words, width), nn.Linear(width, width)
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.middle(self.words(tokens)).tanh())


class Twice(nn.Module):
    """One module called on its own output."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return self.part(self.part(x).tanh())


class ByHand(nn.Module):
    """A layer's weight used behind its back, beside the ordinary call."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.layer(x).tanh() + F.linear(x, self.layer.weight))


class Raw(nn.Module):
    """Parameters of its own: one scales, one is added."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.places = nn.Parameter(torch.ones(3)), nn.Parameter(torch.randn(5, 3))
        self.bias, self.first = nn.Parameter(torch.zeros(3)), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x * self.scale + self.places).tanh() + self.bias


class PositionsFirst(nn.Module):
    """(T, B, width) inside: where T = B, shapes do not tell positions from examples."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x.transpose(0, 1)).tanh().transpose(0, 1))


class Places(nn.Module):
    """Embeddings of positions that the examples share, in several ways."""

    def __init__(self, way: str, length: int) -> None:
        super().__init__()
        self.words, self.places, self.head = nn.Embedding(6, 3), nn.Embedding(length, 3), nn.Linear(3, 4)
        self.way, self.norm = way, nn.LayerNorm(3)

    def forward(self, tokens: Tensor) -> Tensor:
        positions, words = torch.arange(tokens.shape[1]), self.words(tokens)
        places = self.places(positions[None] if self.way == "(1, T)" else positions)
        if self.way in ("times", "again"):
            together = words * places
        elif self.way == "alpha":
            together = torch.add(words, places, alpha=2)
        else:
            together = words + places
        together = self.norm(together)
        return self.head(together + places if self.way == "again" else together)


class _Stopped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> None:
        return None


class Partly(nn.Module):
    """A layer called three times: one result is used, one is not, and one is behind a function without gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.shift = nn.Linear(4, 3), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        self.layer(x + 1)
        return (self.layer(x) + self.shift).tanh() + _Stopped.apply(self.layer(2 * x)) + self.shift


class Scaled(nn.Linear):
    """A subclass that computes something else."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x)


class WithScale(nn.Linear):
    """A linear layer that holds a parameter for somebody else."""

    def __init__(self) -> None:
        super().__init__(3, 3)
        self.scale = nn.Parameter(torch.ones(3))


class Borrowing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = WithScale()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).tanh() * self.layer.scale


class LlamaRMSNorm(nn.Module):
    """Known by its name, but here it does something else."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(width)), 1e-6

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * (x.abs().mean(-1, keepdim=True) + self.variance_epsilon)


class Conv1D(LlamaRMSNorm):
    """The name of GPT-2's transposed layer for something else."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.weight, self.bias = nn.Parameter(torch.randn(width, width)), nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def replaced() -> nn.Module:
    """A layer whose forward pass was replaced."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    model[0].forward = lambda x: F.linear(x, model[0].weight, 2 * model[0].bias)
    return model


def hooked() -> nn.Module:
    """A user's hook changes what a layer gives."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    return model


def batch_norm() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    return model.eval()


def conv(module: nn.Module, *shape: int, examples: int = 3) -> Case:
    return case(nn.Sequential(module, nn.Tanh()), torch.randn(examples, *shape, dtype=torch.float64))


def vectors(model: nn.Module, *shape: int, examples: int = 5) -> Case:
    return case(model, torch.randn(examples, *shape, dtype=torch.float64))


def tokens(model: nn.Module, words: int, length: int, examples: int = 4) -> Case:
    return case(model, torch.randint(words, (examples, length)))


def transformer(model: nn.Module, words: int = 9, length: int = 5, examples: int = 3) -> Case:
    def call(given: Params, batch: Params) -> Tensor:
        seen = batch["inputs"]
        more = {"attention_mask": torch.ones_like(seen), "use_cache": False}
        return torch.func.functional_call(model, given, (seen,), more).logits

    return case(model.eval(), torch.randint(words, (examples, length)), call)


def gpt2(layers: int = 2) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=9, n_positions=6, n_embd=4, n_layer=layers, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=9, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=8, bos_token_id=0, eos_token_id=0, attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config)


def adapter() -> nn.Module:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, lora_dropout=0.0)
    return get_peft_model(gpt2(1), config)


def brute_force(params: Params, losses: Any, batch: Params) -> dict[str, Any]:
    """Everything from the examples' gradients, by the definitions."""
    rows = []
    for i in range(len(batch["shift"])):
        leaves = {k: p.detach().requires_grad_() for k, p in params.items()}
        loss = losses(leaves, {k: v[i : i + 1] for k, v in batch.items()}).sum()
        rows.append(torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True))
    flat = torch.stack([torch.cat([g.to_dense().flatten() for g in row]) for row in rows])
    b, g = len(flat), flat.mean(dim=0)
    squared = g.dot(g)
    s = flat @ g
    along = (s - squared).square().sum() / (b - 1)
    variances = (flat - g).square().sum(dim=0) / (b - 1)
    orthogonal = flat - (s / squared)[:, None] * g
    sizes = [p.numel() for p in params.values()]
    return {
        "gradient": dict(zip(params, g.split(sizes), strict=True)),
        "flat": flat,
        "gradient_norm_squared": squared,
        "squared_norm_sum": flat.square().sum(),
        "variance_trace": variances.sum(),
        "inner_product_variance": along,
        "orthogonal_variance": orthogonal.square().sum() / (b - 1),
        "variance_by_coordinate": dict(zip(params, variances.split(sizes), strict=True)),
    }
