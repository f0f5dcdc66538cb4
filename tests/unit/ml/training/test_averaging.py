import pytest
import torch
from torch import nn

from core.ml.training.averaging import MovingAverage


def value(average: MovingAverage, name: str) -> float:
    return float(average.model.state_dict()[name])


def filled(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, value)
    nn.init.constant_(layer.bias, -value)
    return layer


def test_the_average_of_known_numbers():
    average = MovingAverage(filled(1.0), decay=0.5)
    average.update(filled(2.0), step=0)  # decay 1/10: little of the beginning stays
    assert value(average, "weight") == pytest.approx(0.1 * 1 + 0.9 * 2)
    average.update(filled(0.0), step=100)
    assert value(average, "weight") == pytest.approx(0.95)
    assert value(average, "bias") == pytest.approx(-0.95)


def test_without_decay_it_is_the_model():
    average = MovingAverage(filled(1.0), decay=0)
    average.update(filled(3.0), step=50)
    assert value(average, "weight") == 3.0


def test_running_statistics_are_averaged_and_counters_copied():
    norm = nn.BatchNorm1d(1)
    average = MovingAverage(norm, decay=0.5)
    norm.running_mean = torch.tensor([4.0])
    norm.num_batches_tracked = torch.tensor(7)
    average.update(norm, step=100)
    assert value(average, "running_mean") == 2.0
    assert value(average, "num_batches_tracked") == 7


def test_it_does_not_share_weights_and_has_no_gradient():
    layer = filled(1.0)
    average = MovingAverage(layer, decay=0.9)
    nn.init.constant_(layer.weight, 5.0)
    assert value(average, "weight") == 1.0
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
