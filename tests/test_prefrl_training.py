"""A whole run on the toy world: the folder it leaves, stopping and going on, and a policy that needs no prefrl."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from stable_baselines3 import PPO
from toy_runs import toy_config

import prefrl
from labeling.store import Store
from prefrl import configfile, learn, training, worlds
from prefrl.checkpoint import load_newest
from prefrl.errors import UserError
from prefrl.evaluate_run import evaluate_run
from prefrl.learn import obs_normalizer
from prefrl.metrics_file import read_metrics
from prefrl.rundir import RunDir

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> prefrl.Result:
    return prefrl.train(toy_config(tmp_path_factory.mktemp("toy") / "run"))


@pytest.mark.slow
def test_the_folder_holds_what_was_promised(toy: prefrl.Result) -> None:
    names = {p.name for p in toy.run.path.iterdir()}
    assert names >= {
        "config.toml", "result.json", "metrics.csv", "labels.sqlite", "clips", "policy.zip", "reward.safetensors",
        "checkpoints",
    }  # fmt: skip
    result = json.loads(toy.run.result.read_text(encoding="utf-8"))
    assert result == json.loads(json.dumps(toy.summary))
    assert set(result) >= {
        "env_id", "seed", "reward", "labels", "timesteps", "env_return", "env_return_std", "random_return",
        "eval_episodes", "seconds", "reward_model", "versions",
    }  # fmt: skip
    assert set(result["seconds"]) >= {"total", "collect", "learn", "fit", "query"}
    assert set(result["reward_model"]) >= {"val_accuracy", "train_accuracy", "members"}
    assert (result["env_id"], result["reward"], result["labels"]) == ("prefrl/Dot-v0", "preferences", 40)
    parts = [result["seconds"][k] for k in ("collect", "learn", "fit", "query", "score", "save")]
    assert sum(parts) == pytest.approx(result["seconds"]["total"], abs=0.01)
    assert result["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in result["versions"]["torch"]


@pytest.mark.slow
def test_every_label_that_was_asked_for_is_in_the_store_and_its_clips_are_on_the_disk(toy: prefrl.Result) -> None:
    with Store.open_read_only(toy.run.labels) as store:
        labels = store.labels_after(0)
        assert [x.query_id for x in labels] == [f"q{i:06d}" for i in range(40)]
        queries = [store.query(x.query_id) for x in labels]
    assert [q.round for q in queries] == sorted(q.round for q in queries)
    assert sum(q.round == 0 for q in queries) == 10  # a quarter about the untrained policy
    assert {q.strategy for q in queries if q.round == 0} == {"uniform"}
    assert any(q.strategy == "disagreement" and q.score is not None for q in queries)
    for query in queries:
        for clip_id in query.clip_ids:
            assert (toy.run.clips / clip_id[:2] / f"{clip_id}.npz").is_file()


@pytest.mark.slow
def test_the_saved_config_is_the_whole_config(toy: prefrl.Result) -> None:
    assert configfile.load(toy.run.config) == toy_config(toy.run.path)


@pytest.mark.slow
def test_metrics_have_a_row_for_every_rollout_and_the_promised_names(toy: prefrl.Result) -> None:
    metrics = read_metrics(toy.run.metrics)
    steps = metrics["time/total_timesteps"]
    assert steps == [512.0 * (i + 1) for i in range(len(steps))]
    for name in (
        "reward_model/loss", "reward_model/accuracy", "reward_model/val_accuracy", "reward_model/disagreement",
        "prefs/labels_total", "rollout/ep_env_rew_mean", "rollout/ep_learned_rew_mean", "train/approx_kl", "time/fps",
    ):  # fmt: skip
        assert any(x is not None for x in metrics[name]), name
    assert metrics["prefs/labels_total"][-1] == 40


@pytest.mark.slow
def test_the_policy_loads_and_acts_without_prefrl(toy: prefrl.Result, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('prefrl', 'envs', 'labeling'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import numpy as np\n"
        "from stable_baselines3 import PPO\n"
        "agent = PPO.load(sys.argv[1], device='cpu')\n"
        "print(agent.predict(np.zeros(agent.observation_space.shape, 'float32'), deterministic=True)[0])\n"
        "assert not any(m.split('.')[0] == 'prefrl' for m in sys.modules)\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(toy.run.policy)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().isdigit()


@pytest.mark.slow
def test_the_exported_policy_is_the_trained_one_with_its_normalisation_folded_in(tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", total_timesteps=1500)
    with pytest.MonkeyPatch.context() as patch:
        kept: list[PPO] = []

        export = learn.export_policy

        def keep(agent: PPO, *args: Any) -> None:
            kept.append(agent)
            export(agent, *args)

        patch.setattr(training, "export_policy", keep)
        prefrl.train(config)
    agent, run = kept[0], RunDir(Path(config.run_dir))
    normalizer = obs_normalizer(agent)
    assert normalizer is not None
    mean, std = normalizer
    assert std.min() > 0
    assert not np.allclose(std, 1.0)
    plain = PPO.load(run.policy, device="cpu")
    obs = np.random.default_rng(0).normal(mean, std, (64, len(mean))).astype(np.float32)
    seen = torch.as_tensor((obs - mean) / std, dtype=torch.float32)
    with torch.no_grad():
        choices = torch.zeros(64, dtype=torch.long)
        _, trained, _ = agent.policy.evaluate_actions(seen, choices)
        _, exported, _ = plain.policy.evaluate_actions(torch.as_tensor(obs), choices)
        torch.testing.assert_close(exported, trained, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(
            plain.policy.predict_values(torch.as_tensor(obs)), agent.policy.predict_values(seen), rtol=1e-3, atol=1e-3
        )


@pytest.mark.slow
def test_evaluating_a_run_again_gives_the_same(toy: prefrl.Result) -> None:
    found, chance = evaluate_run(toy.run, configfile.load(toy.run.config), with_random=True)
    assert found["env_return"] == toy.summary["env_return"]
    assert chance == toy.summary["random_return"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "watch", "report"])
def test_reading_a_run_unpickles_nothing(toy: prefrl.Result, command: str, tmp_path: Path) -> None:
    # Python's own audit event for a class that a pickle asks for; torch's loader of plain weights raises none.
    code = (
        "import sys, prefrl.cli\n"
        "found = []\n"
        "sys.addaudithook(lambda event, args: found.append(args) if event == 'pickle.find_class' else None)\n"
        "code = prefrl.cli.main(sys.argv[1:])\n"
        "assert not found, found\n"
        "sys.exit(code)\n"
    )
    args = [command, str(toy.run.path)]
    args += (
        ["--json", "--episodes", "8"]
        if command == "eval"
        else ["--out", str(tmp_path / ("out.webm" if command == "watch" else "out.html"))]
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if command == "eval":
        assert json.loads(done.stdout)["env_return"] == toy.summary["env_return"]
    else:
        assert next(tmp_path.iterdir()).stat().st_size > 1000


@pytest.mark.slow
def test_ctrl_c_saves_says_how_to_go_on_and_the_run_goes_on(tmp_path: Path) -> None:
    args = [
        "train", "--env-id", "prefrl/Dot-v0", "--total-labels", "30", "--total-timesteps", "60000",
        "--run-dir", "my run",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    base = [sys.executable, "-m", "prefrl.cli"]
    with subprocess.Popen([*base, *args], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # the first rollout is done
        assert "steps/s" in first
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert "go on with: prefrl train --run-dir 'my run' --resume" in rest
    assert "Traceback" not in rest
    checkpoint = load_newest(tmp_path / "my run" / "checkpoints")
    assert checkpoint is not None
    stopped_at = checkpoint.state["steps"]
    assert 0 < stopped_at < 60000
    more = [*base, "train", "--run-dir", "my run", "--resume", "--total-timesteps", str(stopped_at + 2000)]
    done = subprocess.run(more, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = RunDir(tmp_path / "my run")
    assert stopped_at + 2000 <= run.read_result()["timesteps"] < stopped_at + 2000 + 512
    steps = read_metrics(run.metrics)["time/total_timesteps"]
    assert steps == [512.0 * (i + 1) for i in range(len(steps))]  # no row lost, none doubled
    with Store.open_read_only(run.labels) as store:
        ids = [x.query_id for x in store.labels_after(0)]
        assert ids == [f"q{i:06d}" for i in range(len(ids))]  # nothing is asked twice


@pytest.mark.slow
def test_a_killed_run_goes_on_and_every_label_is_learned_from(tmp_path: Path) -> None:
    args = ["--env-id", "prefrl/Dot-v0", "--total-labels", "300", "--total-timesteps", "60000", "--run-dir", "run"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    base = [sys.executable, "-m", "prefrl.cli", "train"]
    with subprocess.Popen([*base, *args], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first round is over
        process.kill()
    run = RunDir(tmp_path / "run")
    with Store.open_read_only(run.labels) as store:
        before = store.labels_after(0)
    assert len(before) >= 75  # a quarter, about the untrained policy
    more = ["--run-dir", "run", "--resume", "--total-timesteps", "3000", "--no-progress"]
    done = subprocess.run([*base, *more], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Store.open_read_only(run.labels) as store:
        after = store.labels_after(0)
        assert after[: len(before)] == before
        assert len({x.query_id for x in after}) == len(after) == 300
    assert run.read_result()["labels"] == 300
    metrics = read_metrics(run.metrics)
    assert metrics["time/total_timesteps"] == sorted(set(metrics["time/total_timesteps"]))  # type: ignore[type-var]  # no None


@pytest.mark.slow
def test_a_finished_run_can_be_resumed_and_only_evaluates_anew(toy: prefrl.Result, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(toy.run.path, copy)
    gallery = (copy / "gallery.json").read_bytes()
    (copy / "result.json").unlink()
    again = prefrl.train(toy_config(copy), resume=True)
    assert again.summary["env_return"] == toy.summary["env_return"]
    assert again.summary["reward_model"] == toy.summary["reward_model"]
    assert again.summary["seconds"]["fit"] == pytest.approx(toy.summary["seconds"]["fit"], abs=0.001)
    assert (copy / "gallery.json").read_bytes() == gallery


@pytest.mark.slow
def test_a_run_is_resumed_as_the_run_it_is_or_not_at_all(toy: prefrl.Result, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(toy.run.path, copy)
    for changes, words in (
        ({"reward": "score"}, "expected reward to stay"),
        ({"seed": 5}, "expected seed to stay"),
        ({"reward_model": {"members": 5}}, "expected reward_model.members to stay"),
    ):
        with pytest.raises(prefrl.UserError, match=words):
            prefrl.train(toy_config(copy, **changes), resume=True)
    with pytest.raises(prefrl.UserError, match="expected labeler to stay"):
        prefrl.train(toy_config(copy), labeler=lambda left, right: prefrl.Choice.LEFT, resume=True)


@pytest.mark.slow
def test_a_labeler_that_stops_in_the_middle_loses_no_answer(tmp_path: Path) -> None:
    given: list[str] = []

    def tired(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
        if len(given) == 7:
            raise KeyboardInterrupt
        given.append(left.clip_id)
        return prefrl.Choice.LEFT

    config = toy_config(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        prefrl.train(config, labeler=tired)
    with Store.open_read_only(tmp_path / "run" / "labels.sqlite") as store:
        assert len(store.labels_after(0)) == 7
        assert len(store.open_queries()) == 3
        waiting = {q.left_clip for q in store.open_queries()}

    asked: list[str] = []

    def rested(left: prefrl.Clip, right: prefrl.Clip) -> prefrl.Choice:
        asked.append(left.clip_id)
        return prefrl.Choice.LEFT if left.obs[:, 0].sum() > right.obs[:, 0].sum() else prefrl.Choice.RIGHT

    rested.__name__ = "tired"  # the same person, the next day
    result = prefrl.train(config, labeler=rested, resume=True)
    assert set(asked[:3]) == waiting
    assert result.summary["labels"] == 40
    assert not set(given) & set(asked[3:])


@pytest.mark.slow
def test_ties_alone_teach_nothing_and_are_said(tmp_path: Path) -> None:
    config = toy_config(tmp_path / "run", total_timesteps=600)
    with pytest.warns(UserWarning, match="answers so far are ties"):
        result = prefrl.train(config, labeler=lambda left, right: prefrl.Choice.EQUAL)
    assert result.summary["labels"] == 40  # all in the rounds there were
    assert result.summary["reward_model"]["val_accuracy"] is None


@pytest.mark.slow
def test_score_runs_have_no_part_of_preference_learning_in_them(tmp_path: Path) -> None:
    result = prefrl.train(toy_config(tmp_path / "run", reward="score", total_timesteps=6000))
    assert result.summary["labels"] == 0
    assert result.summary["reward_model"] is None
    assert not result.run.labels.exists()
    assert not result.run.reward.exists()
    assert result.summary["env_return"] > result.summary["random_return"]


@pytest.mark.slow
def test_the_best_checkpoint_is_chosen_among_episodes_that_one_fit_alone_has_scored(tmp_path: Path) -> None:
    """In each copy rollouts have 64 steps and episodes 50, and two rollouts go by between two fits."""
    run = prefrl.train(toy_config(tmp_path / "run", total_timesteps=2048, checkpoint_steps=512)).run
    marks = {}
    for place in run.checkpoints.iterdir():
        marks[int(place.name)] = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["mark"]
    judges = {step: mark and mark["judge"] for step, mark in marks.items()}
    # The second fit scores from step 128 of each copy on: what ended at 150 it has not scored whole.
    assert judges == {1024: "reward model, fit 1", 1536: None, 2048: "reward model, fit 2"}
    rows = read_metrics(run.metrics)
    curve = dict(zip(rows["time/total_timesteps"], rows["rollout/ep_learned_rew_mean"], strict=True))
    assert marks[1024]["value"] == curve[1024]
    assert marks[2048]["value"] != curve[2048]  # the curve goes on over both fits


def test_the_learned_reward_and_the_time_limit_value_meet_in_the_rollout(tmp_path: Path) -> None:
    """At a time limit PPO puts gamma V(terminal) into the buffer; the learned reward is added to it, no more."""
    config = toy_config(tmp_path / "run")
    world = worlds.make_world(config, n_envs=2, seed=0, views=False)
    from prefrl.guard import Guard
    from prefrl.learn import RolloutHooks, make_ppo
    from prefrl.recorder import Recorder

    recorder = Recorder(world, Guard(world.venv), 8)
    before: list[NDArray[np.float32]] = []

    def score(n_steps: int) -> NDArray[np.float32]:
        before.append(agent.rollout_buffer.rewards.copy())
        return np.full((n_steps, 2), 7.0, np.float32)

    agent = make_ppo(recorder, config.ppo, seed=0, device="cpu", normalize_reward=False, score_rollout=score)
    n_steps, horizon = config.ppo.n_steps, world.horizon
    assert horizon is not None
    after: list[NDArray[np.float32]] = []
    hooks = RolloutHooks(lambda: None, lambda: after.append(agent.rollout_buffer.rewards.copy()))
    agent.learn(n_steps * 2, callback=hooks)
    at_limit = np.zeros((n_steps, 2), bool)
    at_limit[horizon - 1 :: horizon] = True
    assert (before[0][~at_limit] == 0).all()
    assert (before[0][at_limit] != 0).all()
    np.testing.assert_allclose(after[0], before[0] + 7.0, rtol=1e-6)
    world.venv.close()


@pytest.mark.slow
def test_labels_of_one_run_start_another(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"total_timesteps": 2048, "eval": {"episodes": 1}, "progress": False}
    config = prefrl.default_config("prefrl/Dot-v0", total_labels=30, run_dir=str(tmp_path / "a"), **settings)
    first = prefrl.train(config)
    again = replace(config, run_dir=str(tmp_path / "b"), total_labels=10, labels_from=str(first.run.path), seed=1)
    second = prefrl.train(again)
    assert (second.summary["labels"], second.summary["imported_labels"]) == (10, 30)
    with Store.open_read_only(second.run.labels) as store:
        assert len(store.current_labels()) == 40
    wrong = replace(config, run_dir=str(tmp_path / "c"), labels_from=str(first.run.path))
    wrong = replace(wrong, clips=replace(wrong.clips, clip_seconds=2.0))
    with pytest.raises(UserError, match="expected clips of 20 steps as in this run, got 15"):
        prefrl.train(wrong)
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_unlabeled_pairs_change_the_reward_model_and_cost_no_label(tmp_path: Path) -> None:
    plain = prefrl.train(toy_config(tmp_path / "plain"))
    more = prefrl.train(toy_config(tmp_path / "more", reward_model={"pseudo_labels": 2.0, "pseudo_confidence": 0.6}))
    assert plain.summary["labels"] == more.summary["labels"] == 40
    one, two = (load_file(result.run.reward) for result in (plain, more))
    assert not torch.equal(one["net.layers.0.weight"], two["net.layers.0.weight"])
