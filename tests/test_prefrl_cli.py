"""The command line as people and scripts use it: real processes, exit codes, one clear line for bad input."""

import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labeling.teachers import TEACHERS
from prefrl import cli
from prefrl.configfile import load

ROOT = Path(__file__).parent.parent

TOY = ["--env-id", "prefrl/Dot-v0", "--total-labels", "20", "--total-timesteps", "1024", "--no-progress"]


def prefrl(*args: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefrl.cli", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_quick() -> None:
    begin = time.perf_counter()
    best = 9.0
    for _ in range(3):  # the machine may be busy: the quickest of three counts
        begin = time.perf_counter()
        done = prefrl("--help", cwd=ROOT)
        best = min(best, time.perf_counter() - begin)
        assert done.returncode == 0
    assert all(c in done.stdout for c in ("train", "eval", "watch", "report", "doctor"))
    assert best < 0.5


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_a_command_imports_nothing_that_learns(command: str) -> None:
    code = (
        "import sys; from prefrl import cli\n"
        f"try: cli.main([{command!r}, '--help'])\n"
        "except SystemExit as e: print(e.code, [m for m in "
        "('torch', 'gymnasium', 'stable_baselines3', 'cv2', 'matplotlib', 'starlette', 'envs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_train_help_shows_every_flag_of_the_contract() -> None:
    done = prefrl("train", "--help", cwd=ROOT)
    assert done.returncode == 0
    flags = "--env-id --labeler --total-labels --total-timesteps --seed --run-dir --reward --preset --device"
    for flag in [*flags.split(), "--clip-memory", "--resume", "--config", "--mask", "--teacher.reliabilities"]:
        assert flag in done.stdout, flag
    who = done.stdout.split("Who answers:")[1].split("(default")[0]
    assert set(TEACHERS) <= set(re.findall(r"\w+", who))


BAD = {
    "unknown flag": ([*TOY, "--totl-labels", "5"], "got --totl-labels; did you mean --total-labels"),
    "unknown flag, no env": (["--env-idd", "prefrl/Dot-v0"], "got --env-idd; did you mean --env-id"),
    "unknown flag of a part": ([*TOY, "--reward_model.member", "5"], "did you mean --reward-model.members"),
    "no env": ([], "expected --env-id (What to train on: "),
    "a word too many": (
        [*TOY, "Dot-v0"],
        "expected a flag of prefrl train (see prefrl train --help), got the word 'Dot-v0'",
    ),
    "a seed of letters": ([*TOY, "--seed", "one"], "expected --seed to be a whole number, got 'one'"),
    "a rate of letters": (
        [*TOY, "--ppo.learning_rate=fast"],
        "expected --ppo.learning-rate to be a number, got 'fast'",
    ),
    "units of letters": (
        [*TOY, "--reward-model.hidden", "a", "b", "--seed", "1"],
        "expected --reward-model.hidden to be whole numbers, got 'a' 'b'",
    ),
    "a flag without its value": (
        [*TOY, "--seed"],
        "expected a value of --seed (The same seed gives the same bits on a",
    ),
    "unknown reward": ([*TOY, "--reward", "scor"], "to be one of preferences, score, got 'scor'; did you mean score?"),
    "unknown env": (["--env-id", "HalfCheeta-v5"], "HalfCheetah-v"),
    "unknown game": (["--env-id", "ALE/Pongg-v5"], "Pong"),
    "unknown toy": (["--env-id", "prefrl/Dott-v0"], "prefrl/Dot-v0"),
    "unknown module": (["--env-id", "no_such_module:Game-v0"], "no_such_module"),
    "no labels": ([*TOY, "--total-labels", "0"], "--total-labels to be at least 1, got 0"),
    "negative labels": ([*TOY, "--total-labels", "-5"], "--total-labels to be at least 1, got -5"),
    "no steps": ([*TOY, "--total-timesteps", "0"], "--total-timesteps to be at least 1, got 0"),
    "long clips": ([*TOY, "--clip-seconds", "1000"], "lower --clip-seconds"),
    "clips of more steps than there can be": (
        ["--env-id", "ALE/Pong-v5", "--device", "cpu", "--clip-seconds", "1e5", "--clips.max-clip-steps", "1000000"],
        "expected clips of at most 100,000 steps, got 1,000,000; lower --clip-seconds",
    ),
    "endless clips": ([*TOY, "--clip-seconds", "inf"], "--clips.clip-seconds to be a number of usual size"),
    "clips of no number": ([*TOY, "--clip-seconds", "nan"], "--clips.clip-seconds to be a number of usual size"),
    "rare checkpoints": ([*TOY, "--checkpoint-steps", "1" + "0" * 18], "--checkpoint-steps to be a number of usual"),
    "a long task": ([*TOY, "--task", "x" * 10_001], "--people.task to be a text of at most 10,000 letters, got 10,001"),
    "a task that is no text": ([*TOY, "--task", "\udcff"], "--people.task to be a text of Unicode's letters"),
    "negative clips": ([*TOY, "--clip-seconds", "-1"], "--clip-seconds above 0"),
    "unknown preset": ([*TOY, "--preset", "robot"], "did you mean robots"),
    "unknown labeler": ([*TOY, "--labeler", "orcale"], "did you mean oracle"),
    "unknown strategy": ([*TOY, "--queries.strategy", "disagree"], "did you mean disagreement"),
    "unknown device": ([*TOY, "--device", "tpu"], "auto, cpu or cuda"),
    "config that is not there": ([*TOY, "--config", "none.toml"], "none.toml"),
    "env kwargs": ([*TOY, "--env-kwargs", "nonsense"], "key:value"),
    "a horizon of words": ([*TOY, "--env-kwargs", "max_episode_steps:abc"], "a whole number, got 'abc'"),
    "half a step": ([*TOY, "--env-kwargs", "max_episode_steps:2.5"], "a whole number, got 2.5"),
    "frames of words": (
        ["--env-id", "ALE/Pong-v5", "--env-kwargs", "frameskip:abc"],
        'expected --env-kwargs that make a world of ALE/Pong-v5, got frameskip:"abc": TypeError: ',
    ),
    "a robot of no file": (
        ["--env-id", "HalfCheetah-v5", "--env-kwargs", "xml_file:no_such_file.xml", "frame_skip:5"],
        'a world of HalfCheetah-v5, got xml_file:"no_such_file.xml", frame_skip:5: OSError: ',
    ),
    "a robot that stands still": (
        ["--env-id", "HalfCheetah-v5", "--env-kwargs", "frame_skip:0"],
        "a world of HalfCheetah-v5, got frame_skip:0: ZeroDivisionError: ",
    ),
    "mask on vectors": ([*TOY, "--mask", "0,0,1,1"], "--mask"),
    "bad mask": (["--env-id", "ALE/Pong-v5", "--mask", "0,0,1"], "x,y,w,h"),
    "digits that are no number": (["--env-id", "ALE/Pong-v5", "--mask", "²,1,1,1"], "x,y,w,h"),
    "more digits than a number has": (["--env-id", "ALE/Pong-v5", "--mask", "9" * 5000 + ",1,1,1"], "x,y,w,h"),
    "error rate": (
        [*TOY, "--reward-model.error-rate", "1"],
        "--reward-model.error-rate to be between 0",
    ),
    "fewer steps than the fewest": (
        [*TOY, "--reward-model.min-batches", "5", "--reward-model.max-batches", "3"],
        "expected --reward-model.min-batches to be at most --reward-model.max-batches 3 (0: no limit), got 5",
    ),
    "no batch": ([*TOY, "--reward-model.batch-size", "0"], "--reward-model.batch-size to be at least 1, got 0"),
    "no units": ([*TOY, "--reward-model.hidden", "64", "0"], "--reward-model.hidden to be at least 1, got 0"),
    "a rate above 1": (
        [*TOY, "--labeler", "mistake", "--teacher.mistake-rate", "1.5"],
        "--teacher.mistake-rate to be between 0 and 1, got 1.5",
    ),
    "no probability": (
        [*TOY, "--teacher.reliabilities", "0.9", "-1"],
        "--teacher.reliabilities to be between 0 and 1, got -1",
    ),
    "an empty crowd": ([*TOY, "--teacher.reliabilities"], "--teacher.reliabilities to give one number"),
    "tired before the first answer": (
        [*TOY, "--teacher.fatigue-answers", "0"],
        "--teacher.fatigue-answers to be at least 1, got 0",
    ),
    "rollout of one": ([*TOY, "--ppo.n-steps", "1", "--n-envs", "1"], "at least 2 steps"),
    "clip memory": (["--env-id", "ALE/Pong-v5", "--clip-memory", "1"], "raise --clip-memory to"),
    "more labels than memory": ([*TOY, "--total-labels", "999999999999"], "--total-labels whose clips fit into"),
    "more networks than memory": (
        [*TOY, "--reward-model.members", "1000", "--reward-model.hidden", "16384", "16384"],
        "--reward-model.members 1,000 of --reward-model.hidden 16384 16384",
    ),
    "resume with a preset": ([*TOY, "--run-dir", "nothing", "--resume", "--preset", "toy"], "no --preset"),
    "a run folder without a name": ([*TOY, "--run-dir", ""], "expected --run-dir to name a folder, got nothing"),
    "bad seed": ([*TOY, "--seed", "-1"], "--seed to be between 0 and 4294967295, got -1"),
    "a large seed": ([*TOY, "--seed", "1" + "0" * 20], "4294967295, got 100000000000000000000"),
    "no environments": ([*TOY, "--num-envs", "0"], "expected --num-envs (--world.n-envs) to be at least 1, got 0"),
    "resume of nothing": ([*TOY, "--run-dir", "nothing", "--resume"], "config.toml"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_line_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args, words = BAD[name]
    run_dir = [] if "--run-dir" in args else ["--run-dir", "run"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *args, *run_dir]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("prefrl: ")
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_refused_where_its_readers_would_look_for_its_game(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_game.py").write_text(GAME, encoding="utf-8")
    assert cli.main(["train", "--env-id", "broken_game:Broken-v0", "--run-dir", "broken_game"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("prefrl: expected the game of a run outside of its folder, got broken_game:Broken-v0")
    assert said.count("\n") == 1
    assert not (tmp_path / "broken_game").exists()


@pytest.mark.slow
def test_settings_at_their_limits_are_trained_with_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = ["--labeler", "stoc", "--teacher.beta", "inf", "--clips.max-clip-steps", "1000000", "--task", "hüpf 🙂"]
    assert cli.main(["train", *TOY, *limits, "--eval.episodes", "2", "--run-dir", "run"]) == 0
    trained = capsys.readouterr().out.split(" over ")[0]
    config = load(tmp_path / "run" / "config.toml")
    assert (config.teacher.beta, config.clips.max_clip_steps, config.people.task) == (math.inf, 10**6, "hüpf 🙂")
    assert cli.main(["eval", "run", "--episodes", "2"]) == 0
    assert capsys.readouterr().out.split(" over ")[0] == trained
    assert cli.main(["train", "--run-dir", "run", "--resume", "--no-progress"]) == 0
    before = (tmp_path / "run" / "config.toml").read_bytes()
    assert cli.main(["train", "--run-dir", "run", "--resume", "--checkpoint-steps", "1" + "0" * 18]) == 2
    assert (tmp_path / "run" / "config.toml").read_bytes() == before


WORDS = {
    "train --env-id H --seed 1 --seed x": "expected --seed to be a whole number, got 'x'",
    "train --env-id H --seed -1.5": "expected --seed to be a whole number, got '-1.5'",
    "train --env-id H --seed=": "expected --seed to be a whole number, got ''",
    "train --env-id H -nfew": "expected --total-timesteps to be a whole number, got 'few'",
    "train --env-id H --teacher.reliabilities -0.5 x": "to be numbers, got '-0.5' 'x'",
    "train --env-id H --task -jump": "see prefrl train --help; a value that begins with a dash comes as --flag=-value",
    "train --env-id prefrl/Dot-v0 --preset people": "expected --preset to be one of atari, atari-cpu, custom, robots, ",
    "train --env-id prefrl/Dot-v0 --conf_file none.toml": "expected a TOML file at none.toml, got: No such file",
    "bench --dry-rn s.toml": "got --dry-rn; did you mean --dry-run",
    "eval --episodes 3 --jsn runs/x": "expected a flag of prefrl eval (see prefrl eval --help), got --jsn",
    "labels run --last x": "expected --last to be a whole number, got 'x'",
    "check-env --mask 1,2,3,4 my_game:My-v0": "got neither; put the id before --mask and --env-kwargs",
    "eval": "expected RUN (Folder of the run), got nothing; see prefrl eval --help",
    "bench --jobs 2": "expected SUITE (TOML file that names worlds, ",
    "bench s.toml --job 2": "got --job; did you mean --jobs",
    "labels run lst": "expected one of list, play, export, import, check, recover, got 'lst'; did you mean list?",
    "labels run export --ot folder": "got --ot; did you mean --out?",
    "serve run --port web": "expected --port to be a whole number, got 'web'",
    "doctor --jsn": "expected a flag of prefrl doctor (see prefrl doctor --help), got --jsn; did you mean --json",
    "new-env": "expected NAME (Name of its module: ",
}


@pytest.mark.parametrize("typed", WORDS)
def test_words_that_no_command_has_are_one_clear_line(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(typed.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("prefrl: ")
    assert said.count("\n") == 1
    assert WORDS[typed] in said


def test_an_unknown_key_in_a_toml_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[reward_model]\nmember = 5\n", encoding="utf-8")
    done = prefrl("train", *TOY, "--config", "my.toml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "unknown key 'member' in my.toml [reward_model]; did you mean members" in done.stderr
    (tmp_path / "my.toml").write_text("seed = 'one'\n", encoding="utf-8")
    done = prefrl("train", *TOY, "--config", "my.toml", "--run-dir", "run", cwd=tmp_path)
    assert "expected 'seed' in my.toml to be a whole number, got 'one'" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine", encoding="utf-8")
    done = prefrl("train", *TOY, "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "does not exist yet" in done.stderr
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("command", ["eval", "watch", "report"])
def test_a_folder_that_is_no_run_is_bad_input(command: str, tmp_path: Path) -> None:
    done = prefrl(command, str(tmp_path / "no"), cwd=tmp_path)
    assert done.returncode == 2
    assert "expected the folder of a run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_command_names_the_nearest(tmp_path: Path) -> None:
    done = prefrl("trian", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean train" in done.stderr


@pytest.mark.parametrize(
    ("package", "extra", "env_id"),
    [
        ("ale_py", "atari", "ALE/Pong-v5"),
        ("mujoco", "mujoco", "HalfCheetah-v5"),
    ],
)
def test_a_missing_extra_says_what_to_install(package: str, extra: str, env_id: str, tmp_path: Path) -> None:
    # A folder that shadows the package with one that cannot be imported, as if it were not installed.
    shadow = tmp_path / "shadow" / package
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text(f"raise ModuleNotFoundError(name={package!r})", encoding="utf-8")
    path = f"{tmp_path / 'shadow'}{os.pathsep}{ROOT}"
    done = prefrl("train", "--env-id", env_id, "--run-dir", "run", cwd=tmp_path, env={"PYTHONPATH": path})
    assert done.returncode == 2, done.stderr
    assert f"prefrl[{extra}]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "run").exists()


def test_another_package_called_envs_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("", encoding="utf-8")
    code = "import prefrl.cli, sys; sys.exit(prefrl.cli.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *TOY, "--run-dir", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "another of that name at" in done.stderr


GAME = """\
import gymnasium as gym, numpy as np
class Broken(gym.Env):
    metadata = {"render_modes": [], "render_fps": 10}
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self, render_mode=None): self.n = 0
    def reset(self, seed=None, options=None):
        super().reset(seed=seed); return np.zeros(2, np.float32), {}
    def step(self, action):
        self.n += 1
        return np.full(2, np.nan if self.n == 30 else 0, np.float32), 0.0, False, False, {}
gym.register("Broken-v0", Broken, max_episode_steps=50)
"""


def test_nan_observations_are_the_worlds_fault_and_say_where(tmp_path: Path) -> None:
    (tmp_path / "broken_game.py").write_text(GAME, encoding="utf-8")
    done = prefrl(
        "train", "--env-id", "broken_game:Broken-v0", "--run-dir", "run", "--total-labels", "5",
        "--total-timesteps", "500", "--no-progress", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "expected a finite observation, got nan from environment 0 at its step 29" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_game_that_cannot_be_drawn_is_refused_where_pictures_are_needed(tmp_path: Path) -> None:
    (tmp_path / "broken_game.py").write_text(GAME, encoding="utf-8")
    done = prefrl(
        "train", "--env-id", "broken_game:Broken-v0", "--run-dir", "run", "--world.record-views", "always",
        "--no-progress", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "rgb_array" in done.stderr
    assert not (tmp_path / "run").exists()


def test_doctor_says_what_is_there(tmp_path: Path) -> None:
    done = prefrl("doctor", "--json", cwd=tmp_path)
    assert done.returncode in (0, 1)
    findings = json.loads(done.stdout)
    assert any("torch" in str(f).lower() for f in findings)
