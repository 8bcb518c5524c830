"""Synchronised BatchNorm over one rank is BatchNorm; over unequal shares it is BatchNorm of the whole."""

import threading

import pytest
import torch
from torch import nn

from horovod_ocr.models.batchnorm import (
    average_statistics,
    combine_statistics,
    statistics_of,
    synchronise_batchnorm,
)


def layer():
    torch.manual_seed(1)
    bn = nn.BatchNorm2d(3).double()
    nn.init.uniform_(bn.weight)
    return nn.Sequential(bn)


def alone(model, sum_over_ranks=lambda values: values):
    """As the one rank of its job."""
    return synchronise_batchnorm(model, sum_over_ranks, rank=0, world_size=1)


class Ranks:
    """Threads that sum over each other as ranks do: at one barrier, in program order."""

    def __init__(self, count: int):
        self.count, self.barrier, self.values = count, threading.Barrier(count, timeout=60), {}
        self.sums = [[] for _ in range(count)]  # shapes that each rank asked for

    def sum_of(self, rank: int):
        def sum_over_ranks(values):
            self.sums[rank].append(tuple(values.shape))
            self.values[rank] = values
            self.barrier.wait()
            total = sum(self.values[other] for other in range(self.count))
            self.barrier.wait()
            return total

        return sum_over_ranks

    def run(self, work) -> list:
        """What `work(rank)` returns on each."""
        results = {}
        threads = [
            threading.Thread(target=lambda rank: results.update({rank: work(rank)}), args=(rank,))
            for rank in range(self.count)
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return [results[rank] for rank in range(self.count)]


def test_one_rank_equals_torch():
    plain, synchronised = layer(), alone(layer())
    assert list(plain.state_dict()) == list(synchronised.state_dict())
    x = torch.randn(5, 3, 4, 6, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    gradient = torch.randn_like(x)
    for model, inputs in ((synchronised, ours), (plain, theirs)):
        (model(inputs) * gradient).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synchronised.state_dict()[name], value)
    for name, value in plain.named_parameters():
        torch.testing.assert_close(synchronised.get_parameter(name).grad, value.grad)
    torch.testing.assert_close(synchronised.eval()(x), plain.eval()(x))


def test_the_gradients_are_those_of_the_function():
    torch.manual_seed(2)
    model = alone(layer())
    x = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)

    def forward(x, weight, bias):
        return torch.func.functional_call(model, {"0.weight": weight, "0.bias": bias}, (x,))

    parameters = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]
    assert torch.autograd.gradcheck(forward, (x, *parameters))


def test_where_all_shares_are_empty_nothing_is_learnt():
    model = alone(layer())
    before = {name: values.clone() for name, values in model.state_dict().items() if values.is_floating_point()}
    model(torch.ones(0, 3, 4, 6, dtype=torch.float64)).sum().backward()
    assert not model[0].weight.grad.any() and not model[0].bias.grad.any()
    for name, values in before.items():
        assert torch.equal(model.state_dict()[name], values)


@pytest.mark.parametrize("sizes", [(1, 5), (2, 0, 4), (0, 0, 6)])
def test_unequal_shares_equal_the_whole_batch(sizes):
    """Outputs, statistics and all gradients; with one sum a layer in forward and one in backward, on every rank."""
    torch.manual_seed(3)
    x = 100 + torch.randn(6, 3, 4, 6, dtype=torch.float64)
    gradient = torch.randn_like(x)
    whole, x_of_whole = nn.Sequential(layer(), nn.ReLU(), layer()), x.clone().requires_grad_()
    expected = whole(x_of_whole)
    expected.backward(gradient)
    ranks = Ranks(len(sizes))
    shares = [share.clone().requires_grad_() for share in x.split(sizes)]
    gradients = gradient.split(sizes)
    # made here: the seed is the whole process's
    models = [
        synchronise_batchnorm(nn.Sequential(layer(), nn.ReLU(), layer()), ranks.sum_of(rank), rank, ranks.count)
        for rank in range(ranks.count)
    ]

    def work(rank):
        output = models[rank](shares[rank])
        output.backward(gradients[rank])
        return output.detach()

    torch.testing.assert_close(torch.cat(ranks.run(work)), expected.detach())
    torch.testing.assert_close(torch.cat([share.grad for share in shares]), x_of_whole.grad)
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(sum(model.get_parameter(name).grad for model in models), parameter.grad)
    for name, value in whole.state_dict().items():
        for model in models:
            torch.testing.assert_close(model.state_dict()[name], value)
    # 2 layers of 3 channels: counts, means and squares of each rank, then what is summed of the gradients
    assert ranks.sums == [[(ranks.count, 7)] * 2 + [(6,)] * 2] * ranks.count


def test_a_large_mean_costs_no_digits():
    """Summed squares would leave a variance of 0 or less in float32."""
    torch.manual_seed(4)
    shares = [10_000 + torch.randn(count, 3, 4, 6) for count in (2, 0, 3)]
    count, mean_C, variance_C = combine_statistics(torch.stack([statistics_of(share) for share in shares]))
    whole = torch.cat(shares).double()
    assert count == whole.shape[0] * 24
    torch.testing.assert_close(mean_C.double(), whole.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance_C.double(), whole.var((0, 2, 3), correction=0), rtol=1e-2, atol=0)


def test_inputs_of_bfloat16_have_statistics_of_float32():
    """As convolutions give under autocast."""
    model = alone(layer().float())
    x = torch.randn(5, 3, 4, 6).bfloat16().requires_grad_()
    output = model(x)
    output.float().square().sum().backward()
    assert (output.dtype, x.grad.dtype, model[0].weight.grad.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    torch.testing.assert_close(model[0].running_mean, 0.1 * x.detach().float().mean((0, 2, 3)))


def test_statistics_become_the_mean_of_the_ranks():
    model = layer()
    model[0].running_mean.fill_(1.0)
    average_statistics(model, lambda values: values + 3.0, world_size=2)
    assert model[0].running_mean.tolist() == [2.0, 2.0, 2.0] and model[0].num_batches_tracked == 0
