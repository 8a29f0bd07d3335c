"""Statistics of every kind of layer against brute force in float64."""

import kinds
import pytest
import torch
from torch import nn

from experiments.measure.statistics import NAMES, Collector

CASES = {
    "linear": lambda: kinds.vectors(nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 7, bias=False)), 5),
    "linear, b = 2": lambda: kinds.vectors(nn.Linear(5, 3), 5, examples=2),
    "linear, one unit": lambda: kinds.vectors(nn.Linear(1, 1), 1, examples=3),
    "linear, few positions": lambda: kinds.vectors(nn.Sequential(nn.Linear(11, 13), nn.Tanh()), 3, 11),
    "linear, many positions": lambda: kinds.vectors(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), 17, 3, examples=2),
    "linear, two axes of positions": lambda: kinds.vectors(nn.Linear(3, 5), 2, 3, 3),
    "conv": lambda: kinds.conv(nn.Conv2d(2, 3, 3), 2, 7, 5),
    "conv, b = 2, one channel": lambda: kinds.conv(nn.Conv2d(1, 2, (2, 3)), 1, 5, 6, examples=2),
    "conv, groups, stride, padding, dilation": lambda: kinds.conv(
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2), 4, 8, 7
    ),
    "conv, depthwise": lambda: kinds.conv(nn.Conv2d(3, 6, 3, groups=3, bias=False), 3, 5, 5),
    "conv, few positions": lambda: kinds.conv(nn.Conv2d(6, 12, 3, padding=1, stride=2), 6, 4, 3),
    "conv, few positions in groups": lambda: kinds.conv(nn.Conv2d(12, 24, 3, groups=2, dilation=2), 12, 6, 5),
    "conv, same": lambda: kinds.conv(nn.Conv2d(2, 3, (2, 4), padding="same"), 2, 5, 6),
    "conv, circular": lambda: kinds.conv(nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), 2, 5, 6),
    "conv, one channel, rows left over": lambda: kinds.conv(nn.Conv2d(1, 2, 3, stride=3, dilation=(1, 2)), 1, 8, 7),
    "conv, rows left over": lambda: kinds.conv(nn.Conv2d(2, 3, 3, stride=3), 2, 8, 7),
    "conv 1d": lambda: kinds.conv(nn.Conv1d(2, 3, 3, stride=2, padding=1), 2, 9),
    "conv 3d": lambda: kinds.conv(nn.Conv3d(2, 3, 2, padding=1), 2, 3, 4, 3),
    "conv twice": lambda: kinds.conv(kinds.Twice(nn.Conv2d(2, 2, 3, padding=1)), 2, 5, 4),
    "embedding": lambda: kinds.tokens(kinds.MeanOf(nn.Embedding(5, 3), nn.Tanh()), 5, 7),
    "embedding, one token": lambda: kinds.case(nn.Embedding(5, 3), torch.tensor([1, 4, 1])),
    "embedding, padding": lambda: kinds.tokens(kinds.MeanOf(nn.Embedding(5, 3, padding_idx=1), nn.Tanh()), 5, 7),
    "embedding, sparse": lambda: kinds.tokens(kinds.MeanOf(nn.Embedding(5, 3, sparse=True), nn.Tanh()), 5, 7),
    "positions (1, T)": lambda: kinds.tokens(kinds.Places("(1, T)", 5), 6, 5),
    "positions (T,)": lambda: kinds.tokens(kinds.Places("(T,)", 5), 6, 5),
    "positions (T,), T = b": lambda: kinds.tokens(kinds.Places("(T,)", 4), 6, 4),
    "positions, T = 1": lambda: kinds.tokens(kinds.Places("(T,)", 1), 6, 1),
    "positions times words": lambda: kinds.tokens(kinds.Places("times", 5), 6, 5),
    "positions doubled": lambda: kinds.tokens(kinds.Places("alpha", 5), 6, 5),
    "positions used again": lambda: kinds.tokens(kinds.Places("again", 5), 6, 5),
    "partly used": lambda: kinds.vectors(kinds.Partly(), 4),
    "layer norm": lambda: kinds.vectors(nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3)), 5),
    "layer norm, positions": lambda: kinds.vectors(nn.Sequential(nn.LayerNorm((2, 5)), nn.Linear(5, 3)), 3, 2, 5),
    "layer norm, no bias": lambda: kinds.vectors(nn.Sequential(nn.LayerNorm(5, bias=False), nn.Linear(5, 3)), 2, 5),
    "group norm": lambda: kinds.conv(nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4)), 2, 5, 5),
    "group norm, vectors": lambda: kinds.vectors(nn.Sequential(nn.Linear(3, 4), nn.GroupNorm(2, 4)), 3),
    "RMS norm": lambda: kinds.vectors(nn.Sequential(nn.RMSNorm(5), nn.Linear(5, 3)), 2, 5),
    "frozen batch norm": lambda: kinds.conv(kinds.batch_norm(), 2, 5, 5),
    "tied": lambda: kinds.tokens(kinds.Tied(), 7, 5),
    "tied, b = 2": lambda: kinds.tokens(kinds.Tied(words=3, width=5), 3, 2, examples=2),
    "twice": lambda: kinds.vectors(kinds.Twice(nn.Linear(3, 3)), 3),
    "twice, positions": lambda: kinds.vectors(kinds.Twice(nn.Linear(3, 3)), 4, 3),
    "norm twice": lambda: kinds.vectors(kinds.Twice(nn.LayerNorm(4)), 3, 4),
    "by hand": lambda: kinds.vectors(kinds.ByHand(), 4),
    "raw": lambda: kinds.vectors(kinds.Raw(), 5, 3),
    "positions first": lambda: kinds.vectors(kinds.PositionsFirst(), 6, 3),
    "positions first, T = b": lambda: kinds.vectors(kinds.PositionsFirst(), 5, 3),
    "subclass": lambda: kinds.vectors(nn.Sequential(kinds.Scaled(4, 3), nn.Tanh()), 4),
    "false RMS norm": lambda: kinds.vectors(nn.Sequential(kinds.LlamaRMSNorm(4), nn.Tanh()), 4),
    "false Conv1D": lambda: kinds.vectors(nn.Sequential(kinds.Conv1D(4), nn.Tanh()), 4),
    "user's hook": lambda: kinds.vectors(kinds.hooked(), 4),
    "replaced": lambda: kinds.vectors(kinds.replaced(), 4),
    "borrowed parameter": lambda: kinds.vectors(kinds.Borrowing(), 2, 3),
    "attention of torch": lambda: kinds.vectors(
        nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True), 3, 4, examples=3
    ),
    "weight norm": lambda: kinds.vectors(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), 4),
    "written over": lambda: kinds.vectors(nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)), 4),
    "GPT-2": lambda: kinds.transformer(kinds.gpt2()),
    "GPT-2, T = b = 2": lambda: kinds.transformer(kinds.gpt2(), length=2, examples=2),
    "Llama": lambda: kinds.transformer(kinds.llama()),
    "LoRA": lambda: kinds.transformer(kinds.adapter()),
}


@pytest.mark.parametrize("memory", [1 << 28, 100])
@pytest.mark.parametrize("name", CASES)
def test_equals_brute_force(name, memory):
    torch.manual_seed(0)
    model, params, losses, batch = CASES[name]()
    expected = kinds.brute_force(params, losses, batch)
    for names in (NAMES, ["variance_trace", "inner_product_variance"]):
        found = Collector(model, losses, memory=memory).collect(params, batch, names)
        assert set(found.statistics) == set(names)
        torch.testing.assert_close(found.losses, losses(params, batch), rtol=1e-12, atol=0)
        for key in params:
            at_most = {"rtol": 1e-10, "atol": 1e-12 * float(expected["gradient"][key].abs().max())}
            torch.testing.assert_close(found.gradient[key].flatten(), expected["gradient"][key], **at_most)
        for key in names:
            if key != "variance_by_coordinate":
                at_most = {"rtol": 1e-10, "atol": 1e-14 * float(expected["squared_norm_sum"])}
                torch.testing.assert_close(found.statistics[key], expected[key], **at_most)
                continue
            for parameter, variance in found.statistics[key].items():
                wanted = expected[key][parameter]
                scale = float((wanted + expected["gradient"][parameter].square()).max())
                torch.testing.assert_close(variance.flatten(), wanted, rtol=1e-10, atol=1e-13 * scale)


SINGLE = "gradients of single examples"


@pytest.mark.parametrize(
    ("name", "by_examples"),
    [
        ("linear", set()),
        ("GPT-2", set()),
        ("LoRA", set()),
        ("Llama", set()),
        ("tied", set()),
        ("positions (1, T)", set()),
        ("positions (T,), T = b", set()),
        ("frozen batch norm", set()),
        ("by hand", {"layer.weight"}),
        ("partly used", {"shift"}),
        ("positions doubled", {"places.weight"}),
        ("raw", {"scale"}),
        ("positions first, T = b", {"layer.weight", "layer.bias"}),
        ("subclass", {"0.weight", "0.bias"}),
        ("replaced", {"0.weight", "0.bias"}),
        ("borrowed parameter", {"layer.scale"}),
        ("user's hook", set()),
        ("false RMS norm", {"0.weight"}),
        ("false Conv1D", {"0.weight", "0.bias"}),
    ],
)
def test_only_what_no_formula_covers_is_done_by_examples(name, by_examples):
    model, params, losses, batch = CASES[name]()
    report = Collector(model, losses).collect(params, batch, ["variance_trace"]).report
    assert set(report) == set(params)
    assert {key for key, how in report.items() if how.startswith(SINGLE)} == by_examples


@pytest.mark.parametrize("name", ["conv", "tied", "raw", "GPT-2"])
def test_chunks_of_all_parameters_give_the_same(name):
    torch.manual_seed(0)
    model, params, losses, batch = CASES[name]()
    found = Collector(model, losses, method="chunked", memory=1000).collect(params, batch, ["orthogonal_variance"])
    expected = kinds.brute_force(params, losses, batch)["orthogonal_variance"]
    torch.testing.assert_close(found.statistics["orthogonal_variance"], expected, rtol=1e-10, atol=0)
    assert all(how.startswith(SINGLE) for how in found.report.values())


def test_products_with_a_given_direction():
    torch.manual_seed(0)
    model, params, losses, batch = CASES["positions (1, T)"]()
    direction = {k: torch.randn_like(p) for k, p in params.items()}
    expected = kinds.brute_force(params, losses, batch)["flat"] @ torch.cat([d.flatten() for d in direction.values()])
    torch.testing.assert_close(
        Collector(model, losses).inner_products(params, batch, direction), expected, rtol=1e-10, atol=1e-12
    )
