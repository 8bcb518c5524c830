"""Synchronised BatchNorm over one rank is BatchNorm; over two halves it is BatchNorm of the whole."""

import threading

import torch
from torch import nn

from horovod_ocr.models.batchnorm import average_statistics, synchronise_batchnorm


def layer():
    torch.manual_seed(1)
    bn = nn.BatchNorm2d(3).double()
    nn.init.uniform_(bn.weight)
    return nn.Sequential(bn)


def test_one_rank_equals_torch():
    plain, synchronised = layer(), synchronise_batchnorm(layer(), lambda values: values)
    assert list(plain.state_dict()) == list(synchronised.state_dict())
    x = torch.randn(5, 3, 4, 6, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    gradient = torch.randn_like(x)
    for model, inputs in ((synchronised, ours), (plain, theirs)):
        (model(inputs) * gradient).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(synchronised.state_dict()[name], value)
    torch.testing.assert_close(synchronised.eval()(x), plain.eval()(x))


def test_where_all_shares_are_empty_nothing_is_learnt():
    model = synchronise_batchnorm(layer(), lambda values: values)
    before = {name: values.clone() for name, values in model.state_dict().items() if values.is_floating_point()}
    model(torch.ones(0, 3, 4, 6, dtype=torch.float64)).sum().backward()
    assert not model[0].weight.grad.any() and not model[0].bias.grad.any()
    for name, values in before.items():
        assert torch.equal(model.state_dict()[name], values)


def test_two_unequal_shares_equal_the_whole_batch():
    x = torch.randn(6, 3, 4, 6, dtype=torch.float64)
    whole = layer()
    expected = whole(x)
    barrier, slots, outputs = threading.Barrier(2), {}, {}

    layers = [layer(), layer()]  # made here: the seed is the whole process's

    def rank(number, share):
        def sum_over_ranks(values):
            slots[number] = values
            barrier.wait()
            total = slots[0] + slots[1]
            barrier.wait()
            return total

        model = synchronise_batchnorm(layers[number], sum_over_ranks)
        outputs[number] = model(share).detach(), model.state_dict()

    threads = [threading.Thread(target=rank, args=(n, part)) for n, part in enumerate((x[:1], x[1:]))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    torch.testing.assert_close(torch.cat([outputs[0][0], outputs[1][0]]), expected.detach())
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(outputs[0][1][name], value)


def test_statistics_become_the_mean_of_the_ranks():
    model = layer()
    model[0].running_mean.fill_(1.0)
    average_statistics(model, lambda values: values + 3.0, world_size=2)
    assert model[0].running_mean.tolist() == [2.0, 2.0, 2.0] and model[0].num_batches_tracked == 0
