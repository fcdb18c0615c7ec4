"""Fitting: the bootstrap, what a fit reports, and that it finds a reward that is there to be found."""

import math

import numpy as np
import pytest
import torch

from prefrl.config import RewardModelConfig
from prefrl.fit import Fitter, _Best, _poisson_of
from prefrl.fit_data import Answered, Unlabeled
from prefrl.reward_model import Inputs, RewardModel


def linear_answers(n: int, seed: int = 0, flip: float = 0.0, tie_share: float = 0.0) -> Answered:
    """Answers by the sum of the first observation, on random clips of 10 steps."""
    rng = np.random.default_rng(seed)
    obs = rng.normal(size=(n, 2, 10, 4)).astype(np.float32)
    actions = rng.normal(size=(n, 2, 10, 2)).astype(np.float32)
    returns = obs[..., 0].sum(-1)
    prob_left = (returns[:, 0] > returns[:, 1]).astype(np.float32)
    wrong = rng.random(n) < flip
    prob_left[wrong] = 1 - prob_left[wrong]
    prob_left[rng.random(n) < tie_share] = 0.5
    return Answered(obs, actions, np.arange(n), prob_left, [f"oracle:q{i}" for i in range(n)])


def fitter(seed: int = 0, **changes: object) -> Fitter:
    config = RewardModelConfig(**changes)  # type: ignore[arg-type]  # kwargs of one config
    model = RewardModel(Inputs((4,), None, 2, is_image=False, n_stack=1), config, seed)
    return Fitter(model, config, seed)


def test_a_fit_predicts_answers_it_never_saw() -> None:
    fit = fitter()
    report = fit.fit(linear_answers(300))
    assert report.val_accuracy > 0.9
    fresh = linear_answers(300, seed=1)
    logits = fit.model.preference_logits(fresh.obs, fresh.actions).mean(axis=0)
    assert ((logits > 0) == (fresh.prob_left > 0.5)).mean() > 0.9
    learned = fit.model.rewards(fresh.obs[:, 0], fresh.actions[:, 0])
    assert np.corrcoef(learned.ravel(), fresh.obs[:, 0, :, 0].ravel())[0, 1] > 0.9


def test_after_a_fit_every_member_has_mean_0_and_the_wanted_deviation_over_the_labeled_clips() -> None:
    fit = fitter(reward_std=0.05)
    answered = linear_answers(60)
    fit.fit(answered)
    rewards = fit.model.member_rewards(answered.obs[:, 0], answered.actions[:, 0])
    both = np.concatenate([rewards, fit.model.member_rewards(answered.obs[:, 1], answered.actions[:, 1])], axis=1)
    np.testing.assert_allclose(both.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(both.std(axis=(1, 2)), 0.05, rtol=1e-2)


def test_the_same_seed_fits_the_same_bits() -> None:
    one, two = fitter(3), fitter(3)
    assert one.fit(linear_answers(50)) == two.fit(linear_answers(50))
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_label_keeps_its_bootstrap_whatever_comes_after_it() -> None:
    early, late = fitter(), fitter()
    ids = [f"oracle:q{i}" for i in range(100)]
    np.testing.assert_array_equal(early._bootstrap(ids[:40]), late._bootstrap(ids)[:, :40])


def test_a_bootstrap_leaves_out_one_in_e() -> None:
    draws = np.concatenate([_poisson_of(f"x{i}", 0, 3) for i in range(4000)])
    assert (draws == 0).mean() == pytest.approx(1 / math.e, abs=0.02)
    assert draws.mean() == pytest.approx(1.0, abs=0.03)


def test_members_are_trained_only_on_their_own_labels() -> None:
    fit = fitter(members=2, l2=0.0, initial_epochs=1, batch_size=8)
    before = [p.detach().clone() for p in fit.model.net.parameters()]
    weights = np.array([[0.0] * 8, [1.0] * 8], np.float32)  # member 0 is to see nothing
    fit._bootstrap = lambda label_ids: weights  # type: ignore[method-assign]  # a split made by hand
    report = fit.fit(linear_answers(8))
    for old, new in zip(before, fit.model.net.parameters(), strict=True):
        assert torch.equal(old[0], new[0])
        assert not torch.equal(old[1], new[1])
    assert not math.isnan(report.val_loss)


def test_ties_are_fitted_but_count_for_no_accuracy() -> None:
    answered = linear_answers(200, tie_share=0.5)
    report = fitter().fit(answered)
    ties = float((answered.prob_left == 0.5).mean())
    assert report.label_entropy == pytest.approx(ties * math.log(2), rel=1e-5)
    assert report.val_accuracy > 0.8
    assert report.val_loss > report.label_entropy


def test_the_l2_coefficient_follows_mean_losses_not_sums() -> None:
    fit = fitter(members=3, l2=0.01, l2_rate=0.001)
    train, val = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.05, 1.3, 1.6])
    fit._adapt_l2(train, val, n_batches=10)
    np.testing.assert_allclose(fit.l2 / 0.01, [1.001**-10, 1.0, 1.001**10], rtol=1e-5)


def test_a_member_that_no_label_was_left_out_of_keeps_its_l2() -> None:
    fit = fitter(members=1, l2=0.01)
    fit._adapt_l2(torch.tensor([1.0]), torch.tensor([torch.nan]), 10)
    assert fit.l2.tolist() == pytest.approx([0.01])


def test_every_member_keeps_the_weights_of_its_own_best_pass() -> None:
    fit = fitter(members=2)
    params = list(fit.model.net.parameters())
    best = _Best(fit.model)
    seen = []
    for losses in ([1.0, 1.0], [0.5, 2.0], [0.9, 0.7]):
        with torch.no_grad():
            for p in params:
                p.add_(1.0)
        seen.append(params[0].detach().clone())
        best.update(torch.tensor(losses), patience=99)
    best.restore()
    assert torch.equal(params[0][0], seen[1][0])
    assert torch.equal(params[0][1], seen[2][1])


def test_a_fit_stops_when_no_member_has_got_better_for_its_patience() -> None:
    best = _Best(fitter(members=2).model)
    stops = [best.update(torch.tensor([x, 1.0]), patience=2) for x in (1.0, 0.9, 0.9, 0.9, 0.9)]
    assert stops == [False, False, False, True, True]


@pytest.mark.parametrize(("n_labels", "epochs"), [(32, 3), (400, 1)])
def test_a_budget_of_gradient_steps_ends_a_fit(n_labels: int, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 minibatches a pass: the fifth step is the first of the third pass; 25 a pass: it is within the first.
    fit = fitter(batch_size=16, max_batches=5, patience=99)
    step, n_steps = torch.optim.Adam.step, 0

    def counted(self: torch.optim.Adam) -> None:
        nonlocal n_steps
        n_steps += 1
        step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    report = fit.fit(linear_answers(n_labels))
    assert (n_steps, report.epochs) == (5, epochs)


def test_one_label_can_be_fitted() -> None:
    report = fitter().fit(linear_answers(1))
    assert report.n_labels == 1
    assert math.isfinite(report.loss) or math.isfinite(report.val_loss)


def test_a_network_on_frames_predicts_in_evaluation_what_it_learned_in_training() -> None:
    """Frames whose brightness is the reward: batch normalisation's statistics must be those of the labels."""
    rng = np.random.default_rng(0)
    bright = rng.uniform(0.2, 0.8, (120, 2, 5, 1, 1))
    obs = (255 * bright * rng.uniform(0.8, 1.0, (120, 2, 5, 36, 36))).astype(np.uint8)[:, :, :, None]
    returns = bright.sum(axis=(2, 3, 4))
    prob_left = (returns[:, 0] > returns[:, 1]).astype(np.float32)
    answered = Answered(obs, np.zeros((120, 2, 5), np.int64), np.arange(120), prob_left, [f"x{i}" for i in range(120)])
    config = RewardModelConfig(batch_size=16, initial_epochs=15, learning_rate=1e-3, reward_std=0.05)
    model = RewardModel(Inputs((1, 36, 36), 4, 4, is_image=True, n_stack=1), config, seed=0)
    torch.manual_seed(0)  # dropout draws from the process's own generator, where earlier tests left it
    report = Fitter(model, config, 0).fit(answered)
    assert report.val_accuracy > 0.85
    rewards = model.rewards(obs.reshape(-1, 5, 1, 36, 36), np.zeros((240, 5), np.int64))
    assert np.corrcoef(rewards.ravel(), bright.ravel())[0, 1] > 0.8
    assert rewards.std() > 0.03


def test_few_labels_are_passed_over_until_enough_steps_were_made() -> None:
    report = fitter(initial_epochs=3, min_batches=20, patience=99).fit(linear_answers(30))
    assert report.epochs == 20  # 30 labels are one batch
    assert fitter(initial_epochs=3, min_batches=2, patience=99).fit(linear_answers(30)).epochs == 3


def test_a_cold_start_forgets_the_fit_before() -> None:
    cold, fresh = fitter(warm_start=False), fitter(warm_start=False)
    cold.fit(linear_answers(40, seed=5))
    cold.generator.manual_seed(cold.seed)
    cold.l2 = fresh.l2.clone()
    cold.fit(linear_answers(40))
    fresh.fit(linear_answers(40))
    for a, b in zip(cold.model.net.parameters(), fresh.model.net.parameters(), strict=True):
        assert torch.equal(a, b)


def test_shrinking_begins_between_the_fit_before_and_the_initial_weights() -> None:
    fit = fitter(shrink=0.75, epochs=0)
    initial = [p.detach().clone() for p in fit.model.net.parameters()]
    fit.fit(linear_answers(40))
    before = [p.detach().clone() for p in fit.model.net.parameters()]
    assert not torch.equal(initial[0], before[0])
    fit._begin()
    for now, old, first in zip(fit.model.net.parameters(), before, initial, strict=True):
        torch.testing.assert_close(now, 0.75 * old + 0.25 * first)


def test_shrinking_forgets_mistakes_that_fits_in_a_row_learn_by_heart() -> None:
    """Three answers in ten are turned round, and come in ten portions, each followed by a fit."""
    answers, strangers = linear_answers(200, flip=0.3), linear_answers(1000, seed=9)
    right = {}
    for shrink in (1.0, 0.5):
        fit = fitter(shrink=shrink)
        for n in range(20, 201, 20):
            fit.fit(
                Answered(answers.obs, answers.actions, answers.rows[:n], answers.prob_left[:n], answers.label_ids[:n])
            )
        logits = fit.model.preference_logits(strangers.obs, strangers.actions).mean(axis=0)
        right[shrink] = np.mean((logits > 0) == (strangers.prob_left > 0.5))
    assert right[0.5] > right[1.0] + 0.01


def test_unlabeled_pairs_join_where_the_ensemble_is_sure() -> None:
    fit = fitter(pseudo_confidence=0.9, pseudo_weight=0.5)
    fit.fit(linear_answers(200))
    fresh = linear_answers(100, seed=1)
    unlabeled = Unlabeled(fresh.obs, fresh.actions)
    probs = 1 / (1 + np.exp(-fit.model.preference_logits(fresh.obs, fresh.actions).astype(np.float64)))
    mean = probs.mean(axis=0)
    sure = np.maximum(mean, 1 - mean) >= 0.9
    assert 10 < sure.sum() < 100
    obs, actions, prob_left, weights = fit._sure_of(unlabeled)
    np.testing.assert_array_equal(obs.numpy(), fresh.obs[sure])
    np.testing.assert_array_equal(actions.numpy(), fresh.actions[sure])
    np.testing.assert_array_equal(prob_left.numpy(), (mean[sure] > 0.5).astype(np.float32))
    assert weights.tolist() == [[0.5] * int(sure.sum())] * 3


def test_unlabeled_pairs_count_in_no_report() -> None:
    fit = fitter(pseudo_confidence=0.6)
    fit.fit(linear_answers(50))
    fresh = linear_answers(80, seed=1)
    report = fit.fit(linear_answers(50), Unlabeled(fresh.obs, fresh.actions))
    assert report.n_labels == 50
    assert report.label_entropy == 0.0
