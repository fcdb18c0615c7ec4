"""The ensemble: one batched pass equals its members one by one; statistics stay frozen while scoring."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional

from prefrl.config import RewardModelConfig
from prefrl.networks import EnsembleCNN, EnsembleLinear, EnsembleMLP
from prefrl.reward_model import Inputs, RewardModel

RNG = np.random.default_rng(0)


def vector_model(n_actions: int | None = None, **changes: object) -> RewardModel:
    inputs = Inputs((4,), n_actions, n_actions or 2, is_image=False, n_stack=1)
    return RewardModel(inputs, RewardModelConfig(**changes), seed=0)  # type: ignore[arg-type]  # kwargs of one config


def test_the_batched_mlp_is_its_members_one_by_one() -> None:
    net = EnsembleMLP(3, 6, (64, 64), torch.Generator().manual_seed(0))
    x = torch.randn(10, 6)
    batched = net(x)
    assert batched.shape == (3, 10)
    for k in range(3):
        h = x
        for i, layer in enumerate(net.layers):
            assert isinstance(layer, EnsembleLinear)
            h = h @ layer.weight[k] + layer.bias[k, 0]
            if i < 2:
                h = functional.leaky_relu(h, 0.01)
        torch.testing.assert_close(batched[k], h[:, 0])


def test_members_begin_different_and_the_same_seed_begins_the_same() -> None:
    one = EnsembleMLP(2, 6, (8,), torch.Generator().manual_seed(1))
    two = EnsembleMLP(2, 6, (8,), torch.Generator().manual_seed(1))
    x = torch.randn(5, 6)
    assert torch.equal(one(x), two(x))
    assert not torch.allclose(one(x)[0], one(x)[1])


@pytest.mark.parametrize("side", [84, 64, 42, 36])
def test_the_network_on_frames_follows_their_size(side: int) -> None:
    net = EnsembleCNN(3, (4, side, side), 0.5, 1, torch.Generator().manual_seed(0)).eval()
    assert net(torch.rand(2, 4, side, side)).shape == (3, 2)


def test_the_papers_network_has_the_papers_layers() -> None:
    net = EnsembleCNN(3, (4, 84, 84), 0.5, 1, torch.Generator().manual_seed(0))
    convs = [m for m in net.convs if isinstance(m, nn.Conv2d)]
    assert [(c.kernel_size[0], c.stride[0]) for c in convs] == [(7, 3), (5, 2), (3, 1), (3, 1)]
    assert all(c.out_channels == 3 * 16 and c.padding == (0, 0) for c in convs)
    assert net.hidden.weight.shape == (3, 16 * 7 * 7, 64)


def test_members_of_the_network_on_frames_do_not_mix() -> None:
    net = EnsembleCNN(2, (4, 84, 84), 0.0, 1, torch.Generator().manual_seed(0)).eval()
    x = torch.rand(2, 4, 84, 84)
    before = net(x)
    with torch.no_grad():
        for conv in net.convs:
            assert isinstance(conv, nn.Conv2d)
            conv.weight[:16] += 0.1  # the filters of member 0
    after = net(x)
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[0], after[0])


def test_each_member_is_normalised_on_its_own_then_averaged() -> None:
    model = vector_model(members=2, reward_std=0.5)
    model.reward_mean.copy_(torch.tensor([1.0, -2.0]))
    model.reward_std.copy_(torch.tensor([2.0, 4.0]))
    rewards = torch.tensor([[[3.0]], [[2.0]]])
    assert model.normalized(rewards).flatten().tolist() == [0.5, 0.5]  # (3-1)/2*.5 and (2+2)/4*.5


def test_scoring_changes_nothing() -> None:
    model = vector_model()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    obs, actions = RNG.random((8, 5, 4)).astype(np.float32), RNG.random((8, 5, 2)).astype(np.float32)
    first = model.rewards(obs, actions)
    assert np.array_equal(first, model.rewards(obs, actions))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_preference_logits_are_of_the_rewards_before_normalisation() -> None:
    model = vector_model()
    obs, actions = RNG.random((6, 2, 5, 4)).astype(np.float32), RNG.random((6, 2, 5, 2)).astype(np.float32)
    before = model.preference_logits(obs, actions)
    model.reward_mean.fill_(3.0)
    model.reward_std.fill_(7.0)
    np.testing.assert_allclose(model.preference_logits(obs, actions), before, rtol=1e-3, atol=1e-4)


def test_discrete_actions_are_read_one_hot() -> None:
    model = vector_model(n_actions=3)
    x = model.vectors(torch.zeros(2, 4), torch.tensor([2, 0]))
    assert x[:, 4:].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_planes_are_unfolded_into_the_stacks_the_learner_saw() -> None:
    inputs = Inputs((4, 84, 84), 6, 6, is_image=True, n_stack=4)
    model = RewardModel(inputs, RewardModelConfig(), seed=0)
    planes = torch.arange(7).view(1, 7, 1, 1).expand(1, 7, 84, 84).to(torch.uint8)
    stacks = model.unfold(planes)
    assert stacks.shape == (1, 4, 4, 84, 84)
    assert stacks[0, :, :, 0, 0].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]
    assert model.unfold(stacks) is stacks


def test_inputs_are_read_off_the_spaces() -> None:
    inputs = Inputs.of(spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6), 4)
    assert (inputs.is_image, inputs.n_actions, inputs.action_size) == (True, 6, 6)
    inputs = Inputs.of(spaces.Box(-1, 1, (17,)), spaces.Box(-1, 1, (6,)), 1)
    assert (inputs.is_image, inputs.n_actions, inputs.action_size) == (False, None, 6)


def test_an_input_that_hardly_varied_cannot_explode_later() -> None:
    model = vector_model()
    model.freeze_input_statistics(torch.zeros(3, 5, 4), torch.zeros(3, 5, 2))
    far = np.full((1, 1, 4), 1e6, np.float32)
    assert np.abs(model.rewards(far, np.zeros((1, 1, 2), np.float32))).max() < 100


def frame_model() -> RewardModel:
    inputs = Inputs((4, 36, 36), 6, 6, is_image=True, n_stack=4)
    return RewardModel(inputs, RewardModelConfig(), seed=0)


def test_features_of_a_pair_are_the_mean_and_difference_of_its_clips_hidden_units() -> None:
    model = vector_model(hidden=(8, 5))
    obs, actions = RNG.random((7, 2, 6, 4)).astype(np.float32), RNG.random((7, 2, 6, 2)).astype(np.float32)
    features = model.features(obs, actions)
    assert features.shape == (7, 2 * 3 * 5)
    assert isinstance(model.net, EnsembleMLP)
    first, second, _ = model.net.layers
    assert isinstance(first, EnsembleLinear)
    assert isinstance(second, EnsembleLinear)
    units = []
    for side in (0, 1):
        x = torch.cat([torch.tensor(obs[3, side]), torch.tensor(actions[3, side])], dim=1)  # pair 3, (T, 6)
        members = []
        for k in range(3):
            h = functional.leaky_relu(x @ first.weight[k] + first.bias[k, 0], 0.01)
            members.append(functional.leaky_relu(h @ second.weight[k] + second.bias[k, 0], 0.01).mean(dim=0))
        units.append(torch.cat(members).detach().numpy())
    expected = np.concatenate([(units[0] + units[1]) / 2, abs(units[0] - units[1])])
    np.testing.assert_allclose(features[3], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["vectors", "frames"])
def test_features_change_nothing_and_know_no_left_and_right(kind: str) -> None:
    if kind == "vectors":
        model = vector_model(n_actions=3)
        obs = RNG.random((5, 2, 6, 4)).astype(np.float32)
    else:
        model = frame_model()
        obs = RNG.integers(0, 256, (5, 2, 9, 36, 36)).astype(np.uint8)  # planes of 6 stacks
    actions = RNG.integers(0, 3, (5, 2, 6))
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    features = model.features(obs, actions)
    assert features.shape == (5, 2 * 3 * 64)
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0
    np.testing.assert_allclose(model.features(obs[:, ::-1].copy(), actions[:, ::-1].copy()), features, atol=1e-5)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_features_of_many_pairs_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = vector_model()
    obs, actions = RNG.random((9, 2, 5, 4)).astype(np.float32), RNG.random((9, 2, 5, 2)).astype(np.float32)
    whole = model.features(obs, actions)
    monkeypatch.setattr(RewardModel, "chunk_steps", 15)  # 3 clips: a pair's two clips fall into different parts
    np.testing.assert_allclose(model.features(obs, actions), whole, rtol=1e-5, atol=1e-6)


def test_without_a_hidden_layer_the_features_are_the_inputs() -> None:
    model = vector_model(hidden=())
    obs, actions = RNG.random((3, 2, 5, 4)).astype(np.float32), RNG.random((3, 2, 5, 2)).astype(np.float32)
    means = np.concatenate([obs, actions], axis=-1).mean(axis=2)  # (M, 2, 6)
    np.testing.assert_allclose(model.features(obs, actions)[:, :6], means.mean(axis=1), rtol=1e-5)
    assert model.rewards(obs[:, 0], actions[:, 0]).shape == (3, 5)


def test_the_reward_is_the_mean_of_what_the_members_say() -> None:
    model = vector_model()
    obs, actions = RNG.random((3, 5, 4)).astype(np.float32), RNG.random((3, 5, 2)).astype(np.float32)
    members = model.member_rewards(obs, actions)
    assert members.shape == (model.members, 3, 5)
    np.testing.assert_allclose(model.rewards(obs, actions), members.sum(axis=0) / model.members, rtol=1e-6, atol=1e-7)
