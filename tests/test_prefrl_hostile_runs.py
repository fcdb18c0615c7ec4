"""Run folders of people who mean harm: every command that reads a run, listened to, over all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile_runs
import pytest
from stable_baselines3 import PPO

from prefrl import cli, configfile
from prefrl.errors import UserError
from prefrl.evaluate_run import load_policy
from prefrl.metrics_file import read_metrics
from prefrl.outcome import Outcome
from prefrl.policy_file import read_weights
from prefrl.rundir import RunDir
from prefrl.worlds import make_world

HERE = Path(__file__).parent
MAX_RSS_MIB = 1024

QUICK = ("pickled_data", "pickle_in_weights", "pickles_beside", "yaml_tags", "module_in_the_folder", "huge_json",
         "link_labels_sqlite", "pipe")  # fmt: skip
"""The tricks that are tried on every change; the others with the slow tests."""

QUICK_COMMANDS = "eval report report-beside labels export import resume label"
"""Tried on every trick; the others, which train, draw or serve, on those above, and on every trick by `make crash`."""

REFUSED = {
    "eval": ("pickled_weights", "pickle_in_weights", "zip_slip", "bomb_in_weights", "bomb_in_inner_zip",
             "stretched_weights", "nan_weights", "yaml_tags", "module_in_the_folder", "huge_settings", "huge_rollout",
             "no_numbers", "deep_toml", "large_toml", "huge_json", "pipe"),
    "report": ("deep_json", "wrong_json", "wide_csv", "binary_csv", "pickles_beside", "trigger", "view", "no_database"),
    "labels": ("trigger", "view", "no_database"),
    "play": ("object_arrays", "clip_bomb"),
    "import": ("object_arrays", "clip_bomb", "trigger", "view", "no_database"),
    "resume": ("pickled_checkpoint",),
}  # fmt: skip
"""What each command must refuse; whatever is a link, all of them must."""


def drive(folder: Path, tricks: tuple[str, ...], only: str = "") -> list[dict[str, Any]]:
    """Run the commands over these tricks in processes of their own; a row for each."""
    runs = folder / "runs"
    runs.mkdir()
    honest = hostile_runs.honest_run(folder / "honest")
    for name in tricks:
        hostile_runs.TRICKS[name](hostile_runs.honest_run(runs / name))
    env = {**os.environ, "PYTHONPATH": str(HERE.parent), hostile_runs.SENTINEL: str(folder / "sentinel")}
    env |= {"PREFRL_BESIDE_TRAINING": "1", "PREFRL_TEST_ONLY": only, "OMP_NUM_THREADS": "1"}
    env.pop("DISPLAY", None)
    command = [sys.executable, str(HERE / "hostile_driver.py"), str(honest), str(folder / "out"), str(honest)]
    done = subprocess.run(
        [*command, *(str(runs / name) for name in tricks)],
        cwd=runs,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (folder / "sentinel").exists()
    assert not list(folder.rglob("escaped"))
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(rows: list[dict[str, Any]]) -> None:
    codes = {}
    for row in rows:
        assert row["heard"] == [], row
        assert row["rss_mib"] < MAX_RSS_MIB, row
        assert not row["raised"], row
        assert row["code"] in (0, 2, 5), row  # 5: the label store is damaged
        if row["code"]:
            assert row["n_lines"] == 1, row
            assert row["lines"][0].startswith("prefrl: "), row
        codes[row["run"], row["command"]] = row["code"]
        if row["run"].startswith("link_") and row["command"] not in ("import", "labels-from"):
            assert row["code"] == 2, row
    assert all(codes["honest", c] == 0 for c in ("eval", "report", "labels") if ("honest", c) in codes)
    for command, tricks in REFUSED.items():
        for trick in tricks:
            assert codes.get((trick, command), 2) in (2, 5), (trick, command)


def test_the_worst_tricks_do_nothing(tmp_path: Path) -> None:
    check(drive(tmp_path, QUICK, "eval report labels resume import"))


@pytest.mark.slow
def test_no_command_unpickles_runs_or_inflates_anything_in_any_of_them(tmp_path: Path) -> None:
    every = os.environ.get("PREFRL_CRASH") == "full"
    check(drive(tmp_path, tuple(hostile_runs.TRICKS), "" if every else QUICK_COMMANDS))


@pytest.mark.slow
def test_nor_does_any_command_that_takes_seconds(tmp_path: Path) -> None:
    check(drive(tmp_path, QUICK, "watch play labels-from serve"))


# --- one by one ---

POLICY_TRICKS = {
    "pickled_weights": "got: ",
    "pickle_in_weights": "more than plain weights",
    "zip_slip": "names a file outside of it",
    "bomb_in_weights": "weights of 4,294,967,294 bytes",
    "bomb_in_inner_zip": "compressed",
    "stretched_weights": "expected weights of at most",
    "nan_weights": "expected finite weights",
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_runs.honest_run(tmp_path_factory.mktemp("honest") / "run")


@pytest.mark.parametrize("trick", sorted(POLICY_TRICKS))
def test_a_policy_that_is_more_or_less_than_weights_is_refused(trick: str, tmp_path: Path) -> None:
    run = hostile_runs.honest_run(tmp_path / "run")
    hostile_runs.TRICKS[trick](run)
    with pytest.raises(UserError, match=POLICY_TRICKS[trick]) as refused:
        read_weights(run / "policy.zip")
    assert "\n" not in str(refused.value)


def test_weights_are_read_as_stable_baselines3_reads_them(honest: Path) -> None:
    theirs = PPO.load(honest / "policy.zip", device="cpu").policy.state_dict()
    ours = read_weights(honest / "policy.zip")
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_trust_pickle_is_the_only_way_to_other_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDir(hostile_runs.honest_run(tmp_path / "run"))
    config = configfile.load(run.config)
    world = make_world(config, n_envs=1, seed=0, views=False)
    wide = PPO("MlpPolicy", world.venv, policy_kwargs={"net_arch": [8]}, n_steps=2, batch_size=2, device="cpu")
    wide.save(run.policy)
    with pytest.raises(UserError, match="expected a policy for prefrl/Dot-v0"):
        load_policy(run, config, world)
    agent = load_policy(run, config, world, trust_pickle=True)
    assert agent.policy.mlp_extractor.policy_net[0].out_features == 8
    world.venv.close()
    for command in ("eval", "watch"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        said = " ".join(capsys.readouterr().out.replace("|", " ").replace("│", " ").split())
        assert "whoever made the file can then run any program on this machine" in said


@pytest.mark.parametrize("name", hostile_runs.LINKED)
def test_no_file_of_a_run_may_be_a_link(name: str, tmp_path: Path) -> None:
    run = hostile_runs.honest_run(tmp_path / "run")
    assert RunDir(run).must_exist().path == run
    hostile_runs.linked(name)(run)
    with pytest.raises(UserError, match=r"got a link|found none there"):
        RunDir(run).must_exist()


def test_the_run_folder_itself_may_be_a_link_of_ones_own(honest: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(honest)
    assert RunDir(tmp_path / "latest").must_exist().path == tmp_path / "latest"


def test_a_module_is_never_looked_for_in_the_run_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = hostile_runs.honest_run(tmp_path / "run")
    text = (run / "config.toml").read_text()
    for env_id, place in (("evil_game:X-v0", run), ("run.evil_game:X-v0", tmp_path), ("deep.evil:X-v0", run)):
        (run / "config.toml").write_text(text.replace("prefrl/Dot-v0", env_id, 1))
        monkeypatch.chdir(place)
        with pytest.raises(UserError, match="expected the game of a run outside of its folder"):
            configfile.load(run / "config.toml")
    monkeypatch.chdir(tmp_path)
    (run / "config.toml").write_text(text.replace("prefrl/Dot-v0", "my_game:X-v0", 1))
    assert configfile.load(run / "config.toml").env_id == "my_game:X-v0"


def test_metrics_that_are_none_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_metrics(path) == {}
    path.write_text("a,b\n1,2,3\n4\n,x\n")
    assert read_metrics(path) == {"a": [1.0, 4.0, None], "b": [2.0, None, None]}
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match="expected UTF-8 text"):
        read_metrics(path)


# --- cells of a benchmark ---


@pytest.mark.parametrize("trick", ["pickle", "deep", "huge", "kinds", "link", "list", "infinite"])
def test_a_hostile_cell_is_one_line_in_a_bench_report(trick: str, tmp_path: Path) -> None:
    from prefrl.cell_folder import CellFolder

    folder = tmp_path / "cell"
    folder.mkdir()
    place = folder / "outcome.json"
    good: dict[str, Any] = {
        "cell": "x", "env_id": "prefrl/Dot-v0", "seed": 0, "reward": "score", "timesteps": 1, "labels": 0,
        "env_return": 1.0, "env_return_std": 0.0, "random_return": 0.0, "eval_episodes": 1, "val_accuracy": None,
        "curve_steps": [1], "curve_returns": [1.0], "seconds": {"total": 1.0}, "policy_sha256": "", "labels_sha256": "",
        "command": "", "versions": {"torch": "2"},
    }  # fmt: skip
    place.write_text(json.dumps(good))
    assert CellFolder(folder).read() == Outcome.from_json(json.dumps(good), "here")
    if trick == "link":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    elif trick == "huge":
        with place.open("wb") as file:
            file.truncate(hostile_runs.BOMB_BYTES)
    else:
        place.write_bytes(
            {
                "pickle": hostile_runs.PICKLE,
                "deep": b"[" * 100_000,
                "kinds": json.dumps({**good, "env_return": "1", "curve_steps": "ab"}).encode(),
                "list": b"[1]",
                "infinite": json.dumps({**good, "env_return": float("inf")}).encode(),
            }[trick]
        )
    with pytest.raises(UserError) as refused:
        CellFolder(folder).read()
    assert "\n" not in str(refused.value)
