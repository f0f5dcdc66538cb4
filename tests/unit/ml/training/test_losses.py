import math

import pytest
import torch

from core.config.experiment import AsymmetricLoss, BCELoss, FocalLoss
from core.ml.training.losses import asymmetric, class_weights, focal, make_loss, smooth_positives

THREE = math.log(3)  # the logit of 3/4


def test_cross_entropy_by_hand():
    loss = make_loss(BCELoss())(torch.tensor([[THREE, -THREE]]), torch.tensor([[1.0, 1.0]]))
    assert loss.item() == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2)


def test_a_class_weight_multiplies_positives_only():
    logits, targets = torch.tensor([[THREE], [THREE]]), torch.tensor([[1.0], [0.0]])
    loss = make_loss(BCELoss(), torch.tensor([5.0]))(logits, targets)
    assert loss.item() == pytest.approx((-5 * math.log(0.75) - math.log(0.25)) / 2)


def test_focal_loss_by_hand():
    losses = focal(torch.tensor([[THREE, THREE]]), torch.tensor([[1.0, 0.0]]), gamma=2)
    assert losses[0].tolist() == pytest.approx([0.25**2 * -math.log(0.75), 0.75**2 * -math.log(0.25)])


def test_focal_loss_without_focus_is_cross_entropy():
    logits, targets = torch.randn(5, 3), torch.rand(5, 3)
    assert torch.allclose(
        make_loss(FocalLoss(gamma=0))(logits, targets), make_loss(BCELoss())(logits, targets)
    )


def test_asymmetric_loss_by_hand():
    config = AsymmetricLoss(gamma_positive=1, gamma_negative=2, margin=0.05)
    losses = asymmetric(torch.tensor([[THREE, THREE]]), torch.tensor([[1.0, 0.0]]), config)
    expected = [0.25 * -math.log(0.75), 0.70**2 * -math.log(0.30)]
    assert losses[0].tolist() == pytest.approx(expected)


def test_negatives_below_the_margin_cost_nothing():
    config = AsymmetricLoss(margin=0.05)
    assert asymmetric(torch.tensor([[-4.0]]), torch.tensor([[0.0]]), config).item() == 0


@pytest.mark.parametrize(
    "config",
    [
        BCELoss(),
        *(FocalLoss(gamma=gamma) for gamma in (0, 0.5, 1, 2)),
        *(AsymmetricLoss(gamma_positive=gamma, gamma_negative=4) for gamma in (0, 0.5, 1)),
        *(AsymmetricLoss(gamma_negative=gamma, margin=0) for gamma in (0, 0.5, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [18.0, 90.0, 120.0])
def test_extreme_logits_stay_finite_and_have_a_finite_gradient(config, size):
    logits = torch.tensor([[size, -size, size, -size]], requires_grad=True)
    loss = make_loss(config)(logits, torch.tensor([[1.0, 0.0, 0.0, 1.0]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_class_weights_are_negatives_per_positive_within_bounds():
    targets = torch.tensor([[1.0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]])
    assert class_weights(targets, most=10).tolist() == [1.0, 3.0, 1.0, 4.0]
    assert class_weights(targets, most=2).tolist() == [1.0, 2.0, 1.0, 2.0]
    assert class_weights(targets, most=1).tolist() == [1.0] * 4


def test_smoothing_takes_from_positives_only():
    assert smooth_positives(torch.tensor([[1.0, 0.0]]), 0.1)[0].tolist() == pytest.approx([0.9, 0.0])
