"""The Bradley-Terry loss against formulas worked out by hand."""

import math

import pytest
import torch

from prefrl.loss import decisive_accuracy, label_entropy, preference_logits, preference_loss


def test_logit_is_the_difference_of_undiscounted_sums() -> None:
    rewards = torch.tensor([[[1.0, 2.0, 3.0], [0.5, 0.5, 0.5]]])  # (1, 2, 3)
    assert preference_logits(rewards).tolist() == [4.5]


@pytest.mark.parametrize("logit", [-3.0, 0.0, 0.7, 5.0])
@pytest.mark.parametrize("prob_left", [0.0, 0.5, 1.0])
def test_loss_is_the_cross_entropy_of_the_floored_probability(logit: float, prob_left: float) -> None:
    p = 0.9 / (1 + math.exp(-logit)) + 0.05
    expected = -(prob_left * math.log(p) + (1 - prob_left) * math.log(1 - p))
    got = preference_loss(torch.tensor([logit]), torch.tensor([prob_left]), 0.1)
    assert got.item() == pytest.approx(expected, rel=1e-6)


def test_without_errors_the_loss_is_plain_cross_entropy() -> None:
    got = preference_loss(torch.tensor([2.0]), torch.tensor([1.0]), 0.0)
    assert got.item() == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-6)


def test_a_confidently_wrong_answer_costs_at_most_log_20_and_its_gradient_fades() -> None:
    logit = torch.tensor([-1e4, -8.0, -2.0], requires_grad=True)
    loss = preference_loss(logit, torch.ones(3), 0.1)
    assert loss[0].item() == pytest.approx(math.log(20), rel=1e-6)
    loss.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    assert logit.grad is not None
    assert logit.grad[0] == 0
    assert abs(logit.grad[1]) < abs(logit.grad[2])
    assert torch.isfinite(logit.grad).all()


def test_a_batch_is_its_singles() -> None:
    logits, prob_left = torch.randn(3, 5), torch.tensor([0.0, 1.0, 0.5, 1.0, 0.0])
    batched = preference_loss(logits, prob_left, 0.1)
    for k in range(3):
        for b in range(5):
            single = preference_loss(logits[k, b : b + 1], prob_left[b : b + 1], 0.1)
            assert batched[k, b].item() == pytest.approx(single.item())


def test_label_entropy_is_log_2_for_ties_and_0_for_decisions() -> None:
    assert label_entropy(torch.tensor([0.5, 1.0, 0.0, 0.5])).item() == pytest.approx(math.log(2) / 2)


def test_ties_count_for_no_accuracy_and_an_undecided_model_is_half_right() -> None:
    right = decisive_accuracy(torch.tensor([3.0, -1.0, 2.0, 0.0]), torch.tensor([1.0, 1.0, 0.5, 0.0]))
    assert right[0] == 1
    assert right[1] == 0
    assert math.isnan(right[2])
    assert right[3] == 0.5
