import pytest
from torch import nn

from core.config.experiment import TrainingConfig
from core.ml.training.optimizer import learning_rate, make_optimizer


def rates(steps: int = 10, **options: object) -> list[float]:
    config = TrainingConfig.model_validate({"lr": 1.0, "warm_up": 0.4} | options)
    return [learning_rate(config, step, steps) for step in range(steps)]


def test_one_cycle_rises_to_its_height_and_falls_to_almost_nothing():
    found = rates(schedule="one_cycle")
    assert found[3] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(1e-4)
    assert found[:4] == sorted(found[:4])
    assert found[3:] == sorted(found[3:], reverse=True)
    assert found[1] == pytest.approx((0.04 + 1) / 2)  # half-way up


def test_a_cosine_warms_up_linearly_and_falls_to_nothing():
    found = rates(schedule="cosine")
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[6] == pytest.approx(0.5)  # half-way down
    assert found[-1] == pytest.approx(0)


def test_a_constant_rate_is_constant():
    assert set(rates(schedule="constant")) == {1.0}


@pytest.mark.parametrize("warm_up", [0, 1])
def test_it_may_be_all_or_nothing_of_the_warm_up(warm_up):
    found = rates(warm_up=warm_up)
    assert all(0 < rate <= 1 for rate in found)
    assert max(found) == pytest.approx(1, abs=0.05)


def test_only_matrices_decay():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    model[2].bias.requires_grad_(False)
    groups = make_optimizer(model, TrainingConfig(weight_decay=0.3)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(2, 0.3), (3, 0.0)]
