import torch

from nnlab.seeding import derive, epoch_order, generator


def test_streams_of_a_seed_differ_by_name_and_by_seed():
    seeds = {derive(seed, name) for seed in range(50) for name in ("init", "order", "dropout")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, "2") != derive(12, "")


def test_generator_is_the_streams_own():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again = (torch.rand(4, generator=generator(3, "noise")) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_order_is_a_permutation_that_depends_on_seed_and_epoch_alone():
    orders = [epoch_order(seed, epoch, 100) for seed in (0, 1) for epoch in (0, 1)]
    assert all(torch.equal(order.sort().values, torch.arange(100)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert torch.equal(epoch_order(1, 1, 100), orders[3])
