"""A suite file is read into the cells it spans, or refused in one line that names the file and the key."""

from pathlib import Path
from typing import Any

import pytest
import torch

from prefrl.bench_run import Bench
from prefrl.errors import UserError
from prefrl.suite import Suite, read_suite

ROOT = Path(__file__).parent.parent
COMMITTED = sorted((ROOT / "runs").glob("*.toml"))


def suite(folder: Path, text: str, env_ids: str = 'env_ids = ["prefrl/Dot-v0"]') -> Suite:
    (folder / "mine.toml").write_text(f"{env_ids}\n{text}\n", encoding="utf-8")
    return read_suite(folder / "mine.toml")


def told(read: Suite) -> list[tuple[Any, ...]]:
    """What is trained: seed, labels (0 on the score), teacher, strategy, variant."""
    return [
        (c.config.seed, c.config.total_labels if c.teacher else 0, c.teacher, c.strategy, c.variant) for c in read.cells
    ]


def test_the_grid_is_every_seed_in_turn_the_score_first(tmp_path: Path) -> None:
    read = suite(tmp_path, 'about = "Why."\nlabels = [60, 20]\nseeds = [3, 1]\nstrategies = ["uniform", "bald"]')
    assert (read.name, read.about) == ("mine", "Why.")
    grid = [(60, "uniform"), (60, "bald"), (20, "uniform"), (20, "bald")]
    assert told(read) == [
        row
        for seed in (3, 1)
        for row in [(seed, 0, "", "", ""), *((seed, n, "oracle", strategy, "") for n, strategy in grid)]
    ]
    assert [c.config.reward for c in read.cells[:5]] == ["score"] + ["preferences"] * 4
    assert {c.config.queries.strategy for c in read.cells if c.strategy == "bald"} == {"bald"}
    assert len({c.key for c in read.cells}) == 10
    assert all(c.config.device == "cpu" and not c.config.progress for c in read.cells)


def test_what_is_not_said_is_as_the_preset_has_it(tmp_path: Path) -> None:
    assert told(suite(tmp_path, "")) == [(0, 0, "", "", ""), (0, 700, "oracle", "disagreement", "")]
    assert told(suite(tmp_path, "score = false")) == [(0, 700, "oracle", "disagreement", "")]


def test_every_world_begins_from_its_own_preset_under_the_suites_settings(tmp_path: Path) -> None:
    env_ids = 'env_ids = ["prefrl/Dot-v0", "HalfCheetah-v5", "ALE/Pong-v5"]'
    read = suite(tmp_path, "score = false\n[settings]\ntotal_timesteps = 5\nppo.gamma = 0.5", env_ids)
    assert [c.config.ppo.n_steps for c in read.cells] == [64, 256, 128]
    assert [c.config.world.frame_size for c in read.cells] == [84, 84, 42]
    assert {(c.config.total_timesteps, c.config.ppo.gamma) for c in read.cells} == {(5, 0.5)}


def test_a_preset_by_name_is_on_the_cpu_too(tmp_path: Path) -> None:
    cell = suite(tmp_path, 'score = false\npreset = "robots"').cells[0]
    assert (cell.config.ppo.n_steps, cell.config.queries.label_window, cell.config.device) == (256, 0.2, "cpu")


VARIANTS = """
seeds = [0, 1]
[variants.preset]
[variants.bald]
queries.strategy = "bald"
[variants.small]
reward_model.hidden = [8]
[variants."no discount"]
ppo.gamma = 1.0
[variants.pushed]
world.env_kwargs = ["action:continuous"]
"""


def test_a_variant_has_a_score_of_its_own_only_where_it_changes_ppo_or_the_world(tmp_path: Path) -> None:
    read = suite(tmp_path, VARIANTS)
    on_score = [(c.config.seed, c.variant) for c in read.cells if c.config.reward == "score"]
    names = ("", "no discount", "pushed")
    assert on_score == [(seed, name) for seed in (0, 1) for name in names]
    taught = [(c.config.seed, c.variant, c.strategy) for c in read.cells if c.config.reward == "preferences"]
    rows = ("preset", "bald", "small", "no discount", "pushed")
    assert taught == [(s, name, "bald" if name == "bald" else "disagreement") for s in (0, 1) for name in rows]
    assert len({c.key for c in read.cells}) == 16
    assert next(c for c in read.cells if c.variant == "small").config.reward_model.hidden == (8,)


def test_variants_that_change_ppo_alike_share_a_score_and_know_it(tmp_path: Path) -> None:
    table = "[variants.plain]\n[variants.a]\nppo.gamma = 0.9\n[variants.b]\nppo.gamma = 0.9\nqueries.strategy = 'bald'"
    cells = suite(tmp_path, table).cells
    on_score = {c.key: c.variant for c in cells if c.config.reward == "score"}
    assert list(on_score.values()) == ["", "a"]
    measured_by = {c.variant: on_score[c.score_key] for c in cells if c.config.reward == "preferences"}
    assert measured_by == {"plain": "", "a": "a", "b": "a"}
    assert all(c.score_key == c.key for c in cells if c.config.reward == "score")


def test_teachers_as_a_list_and_as_a_table(tmp_path: Path) -> None:
    listed = suite(tmp_path, 'score = false\nteachers = ["oracle", "mistake"]')
    assert [(c.teacher, c.config.labeler) for c in listed.cells] == [("oracle", "oracle"), ("mistake", "mistake")]
    table = '[teachers]\nskip = {}\n"mistake 30%" = { labeler = "mistake", mistake_rate = 0.3 }'
    tabled = suite(tmp_path, f"score = false\n{table}")
    assert [(c.teacher, c.config.labeler) for c in tabled.cells] == [("skip", "skip"), ("mistake 30%", "mistake")]
    assert [c.config.teacher.mistake_rate for c in tabled.cells] == [0.1, 0.3]


def test_a_run_on_the_score_takes_no_labels_of_another_run(tmp_path: Path) -> None:
    read = suite(tmp_path, '[settings]\nlabels_from = "runs/other"')
    assert [(c.config.reward, c.config.labels_from) for c in read.cells] == [
        ("score", ""),
        ("preferences", "runs/other"),
    ]


BAD = {
    "unknown key": ("lables = [1]", "unknown key 'lables' in", "did you mean labels"),
    "a key like no other": ("worlds = [1]", "unknown key 'worlds' in", "; known are about, env_ids, labels, seeds,"),
    "a setting like no other": ("[variants.x]\nzzz = 1", "unknown key 'zzz' in", "; known are env_id, labeler,"),
    "empty list": ("labels = []", "at least one of labels", "got none"),
    "no list": ("labels = 5", "expected labels", "a list of whole numbers, got 5"),
    "list of text": ('seeds = ["one"]', "expected seeds", "a list of whole numbers, got ['one']"),
    "booleans are no numbers": ("seeds = [true]", "expected seeds", "got [True]"),
    "seeds twice": ("seeds = [1, 2, 1]", "every one of seeds", "once, got [1, 2, 1]"),
    "score": ('score = "yes"', "expected score", "true or false, got 'yes'"),
    "about": ("about = 1", "expected about", "text, got 1"),
    "teacher": ('teachers = ["orcale"]', "expected teachers", "did you mean oracle"),
    "people are no teachers": ('teachers = ["window"]', "expected teachers", "got 'window'"),
    "teacher of a table": ('[teachers.x]\nlabeler = "mistook"', "expected teachers", "did you mean mistake"),
    "no text": ("[teachers.x]\nlabeler = 1", "expected teachers", "got 1"),
    "no teachers": ("[teachers]", "at least one of teachers", "got none"),
    "teachers by number": ("teachers = 3", "a table [teachers]", "got 3"),
    "a teacher that is no table": ("[teachers]\noracle = 3", "a table of settings for 'oracle'", "got 3"),
    "setting of a teacher": ("[teachers.mistake]\nmistke_rate = 1", "'mistke_rate'", "did you mean mistake_rate"),
    "range of a teacher": ("[teachers.mistake]\nmistake_rate = 1.5", "mistake-rate", "between 0 and 1, got 1.5"),
    "strategy": ('strategies = ["blad"]', "expected strategies", "did you mean bald"),
    "setting": ("[settings]\ntotal_timestep = 1", "'total_timestep'", "did you mean total_timesteps"),
    "inner setting": ("[settings]\nppo.gama = 1", "'gama'", "did you mean gamma"),
    "type of a setting": ('[settings]\nseed_ = 1\nppo = "x"', "'seed_'", "did you mean seed"),
    "device": ("[settings]\ndevice = 5", "'device'", "a text, got 5"),
    "no steps": ("[settings]\ntotal_timesteps = 0", "total-timesteps", "at least 1, got 0"),
    "no labels": ("labels = [0]", "total-labels", "at least 1, got 0"),
    "settings no table": ("settings = 1", "a table [settings]", "got 1"),
    "a setting that the grid sets": ("[settings]\nseed = 1", "no setting 'seed'", "seeds says"),
    "a variant of what the grid sets": ("[variants.x]\ntotal_labels = 1", "no setting 'total_labels'", "labels says"),
    "variant": ("[variants.x]\nreward_model.corp = 0.5", "'corp'", "[variants.x]"),
    "a variant that is no table": ("[variants]\nx = 3", "a table of settings for 'x'", "got 3"),
    "strategy twice": (
        'strategies = ["bald"]\n[variants.x]\nqueries.strategy = "uniform"',
        "expected strategies or the strategy of variant 'x'",
        "got both",
    ),
    "preset": ('preset = "robot"', "expected preset", "did you mean robots"),
    "bad TOML": ("labels = [", "expected TOML", "end of document"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_in_one_line_that_names_file_and_key(name: str, tmp_path: Path) -> None:
    text, *words = BAD[name]
    with pytest.raises(UserError) as raised:
        suite(tmp_path, text)
    said = str(raised.value)
    assert len(said.splitlines()) == 1
    for word in (*words, "mine.toml"):
        assert word in said, said


def test_a_suite_needs_worlds_and_a_file(tmp_path: Path) -> None:
    for env_ids in ("", "env_ids = []"):
        with pytest.raises(UserError, match=r"at least one of env_ids in .*mine\.toml, got none"):
            suite(tmp_path, "labels = [1]", env_ids)
    with pytest.raises(UserError, match=r"a TOML file at .*none\.toml, got: No such file"):
        read_suite(tmp_path / "none.toml")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_committed_suite_can_be_read_and_trains_nothing_twice(path: Path) -> None:
    cells = read_suite(path).cells
    assert len({cell.key for cell in cells}) == len(cells) >= 6
    assert len({cell.name for cell in cells}) == len(cells)


def test_few_answers_of_a_robot_begin_from_their_own_preset_under_the_suites_settings(tmp_path: Path) -> None:
    def models(more: str) -> dict[int, tuple[int, int]]:
        cells = suite(tmp_path, f"labels = [700, 200]\n{more}", 'env_ids = ["HalfCheetah-v5"]').cells
        taught = [cell.config for cell in cells if cell.config.reward == "preferences"]
        assert len({cell.score_key for cell in cells}) == 1
        return {c.total_labels: (c.reward_model.members, c.reward_model.batch_size) for c in taught}

    assert models("") == models('preset = "robots"') == {700: (3, 64), 200: (7, 16)}
    assert models("[settings]\nreward_model.members = 5") == {700: (5, 64), 200: (5, 16)}
    assert models('preset = "toy"')[200] == models('preset = "toy"')[700]


def test_suites_share_the_cells_that_they_have_in_common() -> None:
    keys = {path.stem: {cell.key for cell in read_suite(path).cells} for path in COMMITTED}
    assert len(keys["smoke"]) == 6
    # The score on two robots, three seeds each; on four, beside those numbers of answers that are not few.
    assert len(keys["robots"] & keys["teachers"]) == 6
    assert len(keys["robots"] & keys["reward-std"]) == 4 * 3 * (1 + 2)
    assert len(keys["robots"] & keys["few"]) == 4 * 3 * (1 + 2 + 3)
    assert "178e0bd03e59" in keys["robots"]  # the README names it


def test_a_suite_for_a_gpu_is_read_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    read = suite(tmp_path, '[settings]\ndevice = "cuda"', 'env_ids = ["ALE/Pong-v5"]')
    assert [(c.config.device, c.config.world.n_envs) for c in read.cells] == [("cuda", 128)] * 2
    with pytest.raises(UserError, match=r"expected a CUDA GPU for 2 cells .*ALE/Pong-v5, score, seed 0.*, found none"):
        Bench(read, cells=tmp_path / "cells", out=tmp_path / "out", n_jobs=1, fresh=False).train()
    assert not (tmp_path / "cells").exists()
    with pytest.raises(UserError, match="expected --device to be auto, cpu or cuda, got 'gpu'"):
        suite(tmp_path, '[settings]\ndevice = "gpu"')


def test_a_suite_whose_cells_could_not_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--ppo.ent-coef to be a number of usual size.* got inf \(in .*, cell "):
        suite(tmp_path, "[settings]\nppo.ent_coef = inf")
