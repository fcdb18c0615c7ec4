"""Who may import whom, read from the source: leaves know nobody, layers only look down, one module knows `envs`."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

LAYERS = [
    {"cli"},
    {"check_env", "new_env", "bench"},
    {"bench_run"},
    {"bench_rerun", "bench_progress"},
    {"bench_jobs"},
    {"cell_run", "bench_cost"},
    {"cell_folder", "suite"},
    {"cell"},
    {"check_env_run", "check_env_replay"},
    {"flags", "check_env_proof", "check_env_speed", "check_env_contract", "check_env_pictures", "check_env_seeds"},
    {"report_run", "training", "drawing", "labels_run", "state_hash"},
    {"people"},
    {"watch", "serve_run"},
    {"label_run", "labels_args"},
    {"result", "state", "gallery", "check_env_game", "saving", "rollout_log"},
    {"evaluate_run"},
    {"build", "drawers"},
    {"loop", "worlds", "checks", "agent_state", "machine_memory"},
    {"game_venv"},
    {"game_process"},
    {"game_worker"},
    {"asking", "episodes", "scoring", "custom", "queue", "recall", "labels_check"}
    | {"reproduction", "trainer_lock", "labels_health", "check_env_apart"},
    {"answers", "recorder", "learn", "evaluate", "rundir", "checkpoint", "metrics", "progress", "custom_env"}
    | {"drawing_process", "check_env_calls", "checkpoint_v1", "env_state", "tensorboard_events"},
    {"fit", "labelers", "guard"},
    {"fit_step"},
    {"fit_data"},
    {
        "reward_model",
        "pool",
        "queries",
        "schedules",
        "configfile",
        "frames",
        "families",
        "world",
        "stopwatch",
        "metrics_file",
    }
    | {"outcome", "finite", "fit_health", "policy_file", "game_errors", "game_memory", "game_child"}
    | {"plain", "tensor_names", "stop_signals", "outputs"},
    {"foreign_config", "arguments", "removed_settings"},
    {"networks", "clusters", "config", "errors", "check_env_finding", "judge_queries", "patience"},
    {"loss", "tape", "repeated", "return_scale", "spelling", "check_env_watch"},
]
"""From the top down; a module imports only from layers below its own."""

ASIDE = {"report", "plots", "video", "doctor", "markup", "report_data", "report_layout", "report_curves"}
ASIDE |= {"report_sections", "report_words", "report_answers", "report_strategies"}
ASIDE |= {"plot_style", "bench_statistics", "bench_table", "bench_text", "bench_csv", "bench_timing", "bench_plots"}
ASIDE |= {"bench_report"}
ASIDE |= {"labels_list", "labels_play", "labels_parquet"}
"""Presentation: pure functions that import nothing of the layers but `errors` and `outcome`; imported from the top."""


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"relative import in {path}"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_the_leaves_import_neither_each_other_nor_prefrl() -> None:
    for package, others in (("envs", {"labeling", "prefrl"}), ("labeling", {"envs", "prefrl"})):
        for path in modules(package):
            tops = {name.split(".")[0] for name in imports(path)}
            assert not tops & others, path


def test_labeling_runs_without_torch_gymnasium_and_stable_baselines3() -> None:
    for path in modules("labeling"):
        tops = {name.split(".")[0] for name in imports(path)}
        assert not tops & {"torch", "gymnasium", "stable_baselines3", "safetensors"}, path


def test_only_the_composition_root_knows_envs_and_it_imports_none_at_its_top() -> None:
    for path in modules("prefrl"):
        assert not {n for n in imports(path) if n.split(".")[0] == "envs"}, path
        text = path.read_text(encoding="utf-8")
        assert ('import_module("envs")' in text) == (path.name == "worlds.py"), path


def test_layers_import_only_downwards() -> None:
    place = {module: i for i, layer in enumerate(LAYERS) for module in layer}
    for path in modules("prefrl"):
        if path.stem == "__init__" or path.stem in ASIDE:
            continue
        assert path.stem in place, f"{path.stem} stands in no layer"
        own = {n.split(".")[1] for n in imports(path) if n.startswith("prefrl.")}
        for name in own & set(place):
            assert place[path.stem] < place[name], f"{path.stem} must not import {name}"


def test_presentation_knows_nothing_of_learning() -> None:
    for path in modules("prefrl"):
        if path.stem in ASIDE:
            own = {n.split(".")[1] for n in imports(path) if n.startswith("prefrl.")}
            assert own <= ASIDE | {"errors", "outcome"}, path


def test_the_loop_knows_no_sql_no_pictures_no_networks() -> None:
    tops = {n.split(".")[0] for n in imports(ROOT / "prefrl" / "loop.py")}
    assert not tops & {"sqlite3", "cv2", "torch", "labeling", "envs", "gymnasium"}


def test_importing_prefrl_and_its_parser_imports_nothing_heavy() -> None:
    code = (
        "import sys, prefrl, prefrl.cli; "
        "print([m for m in ('torch', 'gymnasium', 'stable_baselines3', 'numpy', 'cv2', 'envs') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_are_there() -> None:
    import prefrl

    assert prefrl.__all__ == sorted(prefrl.__all__)
    for name in prefrl.__all__:
        assert getattr(prefrl, name) is not None
