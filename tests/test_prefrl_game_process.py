"""Games that crash, exit, hang or give no numbers: found out, started again, and then a file that shows it again."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import faulty_games  # noqa: F401  # registers FaultyGame-v0 and StartedGame-v0
import games  # noqa: F401  # registers SlideGame-v0
import numpy as np
import pytest
from numpy.typing import NDArray

from prefrl import cli, game_process, worlds
from prefrl.config import Config, WorldConfig
from prefrl.errors import UserError, WorldFault
from prefrl.flags import default_config
from prefrl.guard import Guard
from prefrl.recorder import Recorder
from prefrl.reproduction import NAME, Reproduction, kept, read_reproduction
from prefrl.tape import Tape
from prefrl.world import World

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not game_process.is_available(), reason="games have their own process on Linux only")


def config_of(fault: str, **options: Any) -> Config:
    kwargs = tuple(f"{name}:{options.pop(name)}" for name in ("at", "start") if name in options)
    settings: dict[str, Any] = {"step_timeout": 5.0, "restarts": 0, **options}
    return Config("FaultyGame-v0", world=WorldConfig(n_envs=2, env_kwargs=(f"fault:{fault}", *kwargs), **settings))


def make(config: Config, **options: Any) -> World:
    return worlds.make_world(config, **{"n_envs": 2, "seed": 0, "views": False, **options})


def play(world: World, n_steps: int, seed: int = 1) -> list[tuple[Any, ...]]:
    """What comes of random actions."""
    rng = np.random.default_rng(seed)
    venv = Guard(world.venv)
    done: list[tuple[Any, ...]] = [(np.asarray(venv.reset()),)]
    for _ in range(n_steps):
        if hasattr(venv.action_space, "n"):
            done.append(venv.step(rng.integers(0, venv.action_space.n, venv.num_envs)))
        else:
            done.append(venv.step(rng.uniform(-1, 1, (venv.num_envs, 1)).astype(np.float32)))
    return done


@pytest.mark.parametrize("env_id", ["SlideGame-v0", "SlidePictures-v0", "Pendulum-v1"])
@pytest.mark.parametrize("views", [False, True])
def test_a_game_is_the_same_in_a_process_of_its_own(env_id: str, views: bool) -> None:
    if env_id == "Pendulum-v1" and views:
        pytest.importorskip("pygame")
    played = []
    for own_process in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # pygame's own, at its import
            world = make(Config(env_id, world=WorldConfig(own_process=own_process, horizon=60)), n_envs=3, views=views)
            played.append((play(world, 130), world.frame_rate, world.horizon, world.drawer, world.venv.action_space))
            world.venv.close()
    (ours, *facts), (theirs, *other_facts) = played
    assert facts == other_facts
    assert (ours[0][0] == theirs[0][0]).all()
    for one, two in zip(ours[1:], theirs[1:], strict=True):
        for a, b in zip(one[:3], two[:3], strict=True):
            assert (a == b).all()
            assert a.dtype == b.dtype
        for info, other in zip(one[3], two[3], strict=True):
            assert info.keys() == other.keys()
            assert all(np.array_equal(info[k], other[k]) for k in info if k != "episode")
            assert info.get("episode") == other.get("episode")
    assert ours[0][0].dtype == theirs[0][0].dtype


WORDS = {
    "raise": r"raised IndexError: pop from empty list in \S*faulty_games\.py line \d+",
    "exit": r"ended its process with exit code 7",
    "sys_exit": r"ended the program, by sys\.exit\(\) or quit\(\),",
    "segfault": r"ended its process by signal 11 \(SIGSEGV\)",
}


@pytest.mark.parametrize("fault", sorted(WORDS))
def test_what_a_game_did_is_said_with_environment_step_and_action(fault: str) -> None:
    world = make(config_of(fault, at=5, start=8))  # which of the copies 0 and 1 begins there, its seed says
    begun = np.asarray(world.venv.reset())[:, 0].tolist()
    world.venv.close()
    assert begun[0] != begun[1]
    world = make(config_of(fault, at=5, start=int(begun[1])))
    with pytest.raises(WorldFault, match=rf"environment 1 of FaultyGame-v0 {WORDS[fault]} at its step 5, action [01]"):
        play(world, 20)
    world.venv.close()


def test_a_hang_is_found_out_within_its_time_and_two_seconds() -> None:
    world = make(config_of("hang", at=5, step_timeout=1.0))
    venv = Guard(world.venv)
    venv.reset()
    for _ in range(4):
        venv.step(np.zeros(2, np.int64))
    begin = time.monotonic()
    with pytest.raises(WorldFault, match="environment 0 of FaultyGame-v0 did not come back within 1 s at its step 5"):
        venv.step(np.zeros(2, np.int64))
    assert 1.0 <= time.monotonic() - begin < 3.0
    world.venv.close()


def test_a_game_that_cannot_be_made_is_one_line() -> None:
    with pytest.raises(WorldFault, match=r"FaultyGame-v0 ended its process with exit code 5 while it was made"):
        make(config_of("init_exit"))
    with pytest.raises(UserError, match="expected --env-kwargs that FaultyGame-v0 takes"):
        make(Config("FaultyGame-v0", world=WorldConfig(env_kwargs=("speed:1",))))
    with pytest.raises(UserError, match=r"expected --world\.step-timeout above 0"):
        make(config_of("none", step_timeout=0.0))


def test_a_process_ends_with_its_world_also_in_a_game_that_hangs() -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = children.read_text().split()
    world = make(config_of("hang", at=1, step_timeout=0.2))
    assert len(children.read_text().split()) == len(before) + 1
    with pytest.raises(WorldFault):
        play(world, 3)
    assert children.read_text().split() == before
    world.venv.close()


def started_game(tmp_path: Path, fault: str) -> Config:
    kwargs = (f"numbers:{tmp_path / 'numbers'}", f"fault:{fault}", "at:3")
    return Config("StartedGame-v0", world=WorldConfig(n_envs=2, env_kwargs=kwargs, step_timeout=2.0, restarts=0))


def living(numbers: Path) -> list[int]:
    """Which of these processes still do something; one that nobody has waited for does not."""
    found = []
    for number in map(int, numbers.read_text().split()):
        stat = Path(f"/proc/{number}/stat")
        with contextlib.suppress(OSError):
            found += [number] if stat.read_text().rpartition(")")[2].split()[0] not in "ZX" else []
    return found


def test_a_game_can_end_what_it_has_started_and_sigterm_is_left_to_the_trainer(tmp_path: Path) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    before = set(children.read_text().split())
    world = make(started_game(tmp_path, "none"))
    assert len((tmp_path / "numbers").read_text().split()) == 2 * 3  # a first copy, which was looked at and closed
    assert len(living(tmp_path / "numbers")) == 2 * 2
    (process,) = set(children.read_text().split()) - before
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(int(process), number)
    play(world, 10)
    assert os.getsid(int(process)) == int(process)  # Ctrl-C at the terminal does not reach it
    begin = time.monotonic()
    world.venv.close()
    assert time.monotonic() - begin < 4.0  # closed, and not ended after 5 s
    assert living(tmp_path / "numbers") == []


@pytest.mark.parametrize("fault", ["hang", "segfault", "exit"])
def test_what_a_game_has_started_ends_with_it(fault: str, tmp_path: Path) -> None:
    world = make(started_game(tmp_path, fault))
    with pytest.raises(WorldFault):
        play(world, 10)
    end = time.monotonic() + 20
    while living(tmp_path / "numbers"):
        assert time.monotonic() < end
    world.venv.close()


def test_a_lost_process_is_started_again_with_other_seeds_and_no_clip_holds_the_lost_step() -> None:
    world = make(config_of("exit", at=13, restarts=3, own_process=True))
    recorder = Recorder(world, Guard(world.venv), memory_mib=1)
    first = np.asarray(recorder.reset())
    seen: list[NDArray[Any]] = []
    for step in range(1, 26):
        if step == 13:
            with pytest.warns(UserWarning, match=r"exit code 7 at its step 13.* for the 1\. time of 3"):
                obs, rewards, dones, infos = recorder.step(np.ones(2, np.int64))
            assert dones.all()
            assert [info["TimeLimit.truncated"] for info in infos] == [True, True]
            assert [info["terminal_observation"][1] for info in infos] == [12, 12]  # the last there was
            assert np.asarray(obs)[:, 1].tolist() == [0, 0]
        else:
            obs, rewards, dones, infos = recorder.step(np.ones(2, np.int64))
        assert (rewards == 0).all()
        seen.append(np.asarray(obs))
    assert (first[:, 0] != seen[12][:, 0]).any()  # another seed, another beginning
    pool = recorder.pool
    for length in (2, 5, 12):
        cuts = pool.sample(300, length, np.random.default_rng(0), 10_000)
        counts = pool.obs(cuts, length)[..., 1]
        assert (np.diff(counts, axis=1) == 1).all()  # never from one process into the next
        actions_at = counts[:, -1]
        assert not ((actions_at == 12) & (cuts.starts + length - 1 == 12)).any()  # nor the step that was lost
    world.venv.close()


def test_after_the_last_restart_the_loss_is_final_and_env_step_may_be_armed_for_it(tmp_path: Path) -> None:
    """PREFRL_FAIL=env.step:after=9:kill: every new process is killed at its tenth step as well."""
    code = (
        "import sys, warnings; sys.path.insert(0, 'tests'); warnings.simplefilter('ignore')\n"
        "import test_prefrl_game_process as t\n"
        "world = t.make(t.config_of('none', restarts=3))\n"
        "try:\n    t.play(world, 100)\n"
        "except t.WorldFault as e: print(e)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PREFRL_FAIL": "env.step:after=9:kill"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ended its process by signal 9 (SIGKILL) at its step 10" in done.stdout
    assert "had been started again 3 times" in done.stdout


@pytest.mark.parametrize("fault", ["raise", "exit", "segfault", "hang", "nan", "inf_reward", "nan_last"])
def test_the_file_that_is_left_shows_it_again(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of(fault, at=7, step_timeout=0.5)
    world = make(config)
    with pytest.raises(WorldFault, match=rf"check-env --replay {tmp_path}/{NAME}$"), kept(config, tmp_path, False):
        play(world, 40)
    world.venv.close()
    found = read_reproduction(tmp_path / NAME)
    assert found.tape.seed == 0
    assert len(found.tape.actions) == (20 if fault == "nan_last" else 7)
    assert np.load(tmp_path / NAME)["actions"].tolist() == found.tape.actions.tolist()
    assert cli.main(["check-env", "--replay", str(tmp_path / NAME)]) == 1
    said = capsys.readouterr().out
    what = WORDS.get(fault, {"hang": "did not come back within 0.5 s"}.get(fault, "expected a finite .*"))
    assert len(re.findall(what, said)) == 2
    assert "it happens again" in said


def test_what_does_not_happen_again_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of("none")
    fault = WorldFault("it broke", env=0)
    fault.tape = Tape(3, np.zeros(9, np.int64))
    folder = tmp_path / "a run"
    folder.mkdir()
    with pytest.raises(WorldFault, match=rf"prefrl check-env --replay '{folder}/{NAME}'$"), kept(config, folder, False):
        raise fault
    assert cli.main(["check-env", "--replay", str(folder / NAME)]) == 0
    assert "it does not happen again: 9 steps went well" in capsys.readouterr().out


@pytest.mark.parametrize("text", [b"", b"PK", b"\x80\x04N."])
def test_another_file_is_refused(text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / NAME).write_bytes(text)
    assert cli.main(["check-env", "--replay", str(tmp_path / NAME)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["check-env"]) == 2
    assert cli.main(["check-env", "x:Y", "--replay", "x"]) == 2


def test_a_reproduction_makes_one_copy_that_is_not_started_again() -> None:
    found = Reproduction("x", WorldConfig(n_envs=8, horizon=7), False, Tape(0, np.zeros(0)), "")
    assert found.config().world == WorldConfig(n_envs=1, horizon=7, restarts=0)


@pytest.mark.parametrize(("fault", "code"), [("none", 0), ("exit", 1), ("nan", 1)])
@pytest.mark.slow
def test_a_training_ends_in_one_line_with_the_way_to_see_it_again(
    fault: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["--env-id", "FaultyGame-v0", "--env-kwargs", f"fault:{fault}", "at:15", "--num-envs", "2"]
    small = ["--total-labels", "8", "--total-timesteps", "300", "--ppo.n-steps", "64", "--eval.episodes", "2"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli.main(["train", *args, *small, "--run-dir", "run", "--no-progress", "--device", "cpu"]) == code
    said = capsys.readouterr().err.splitlines()
    if code:
        assert said[-1].endswith("prefrl check-env --replay run/crash.npz")
        assert not [line for line in said if line.startswith("Traceback")]
        assert cli.main(["check-env", "--replay", "run/crash.npz"]) == 1
    assert (tmp_path / "run" / NAME).exists() == bool(code)


def test_the_default_config_gives_a_game_its_own_process() -> None:
    world = default_config("SlideGame-v0").world
    assert (world.own_process, world.step_timeout, world.restarts) == (True, 60.0, 3)
