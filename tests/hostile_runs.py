"""Writes run folders of people who mean harm, each with one trick; what it would touch is a sentinel file."""

import io
import json
import os
import pickle
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labeled import make_run

from labeling.clip import ClipFiles
from prefrl import flags
from prefrl.learn import plain_ppo
from prefrl.worlds import make_world

SENTINEL = "PREFRL_TEST_SENTINEL"
"""Environment variable with the file that no reader may make."""


class Payload:
    """Touches the sentinel when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f'touch "${SENTINEL}"',))


PICKLE = pickle.dumps(Payload())
MODULE = f"import os; open(os.environ['{SENTINEL}'], 'w').close()\n"
BOMB_BYTES = 10 * 2**30


def honest_run(folder: Path) -> Path:
    """A run on the dot with labels, clips, a policy, a result, metrics and a gallery, all as they should be."""
    make_run(folder)
    config = flags.default_config("prefrl/Dot-v0")
    world = make_world(config, n_envs=1, seed=0, views=False)
    policy = plain_ppo(world.venv.observation_space, world.venv.action_space, config.ppo, 2, "cpu")
    policy.save(folder / "policy.zip")
    world.venv.close()
    (folder / "result.json").write_text(json.dumps({"env_return": 1.0, "reward": "preferences"}))
    (folder / "metrics.csv").write_text("time/total_timesteps,reward_model/loss\n512,0.5\n")
    gallery = {"learned_returns": [1.0, 2.0], "env_returns": [1.0, 3.0], "most_liked": [], "least_liked": []}
    (folder / "gallery.json").write_text(json.dumps(gallery))
    return folder


def rezip(path: Path, changes: dict[str, bytes], *, without: tuple[str, ...] = ()) -> None:
    """Replace, add and drop members of a zip."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name not in without}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, **changes}.items():
            archive.writestr(name, data)


def zip_bomb(name: str, n_bytes: int = 2**26) -> bytes:
    """A zip whose one member inflates to so many zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(n_bytes // 2**24):
            member.write(bytes(2**24))
    return file.getvalue()


def claiming(data: bytes, n_bytes: int) -> bytes:
    """The zip, its first member said to have so many bytes in local header and directory (below 4 GiB)."""
    changed = bytearray(data)
    directory = data.rindex(b"PK\x01\x02")
    changed[22:26] = changed[directory + 24 : directory + 28] = struct.pack("<I", min(n_bytes, 2**32 - 2))
    return bytes(changed)


def _clip_path(folder: Path) -> Path:
    return sorted((folder / "clips").rglob("*.npz"))[0]


def _sqlite(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "labels.sqlite") as db:
        for statement in statements:
            db.execute(statement)


def _set(folder: Path, old: str, new: str) -> None:
    path = folder / "config.toml"
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new, 1))


def pickled_data(folder: Path) -> None:
    """policy.zip whose `data` has pickles, as Stable-Baselines3 keeps what JSON cannot."""
    import base64

    serialized = {":type:": "<class 'os'>", ":serialized:": base64.b64encode(PICKLE).decode()}
    data = {name: serialized for name in ("policy_class", "observation_space", "lr_schedule", "policy_kwargs")}
    rezip(folder / "policy.zip", {"data": json.dumps(data).encode()})


def pickled_weights(folder: Path) -> None:
    """policy.pth that is itself a pickle."""
    rezip(folder / "policy.zip", {"policy.pth": PICKLE, "pytorch_variables.pth": PICKLE})


def pickle_in_weights(folder: Path) -> None:
    """policy.pth in torch's format, with the pickle in it."""
    file = io.BytesIO()
    torch.save({"x": torch.zeros(1), "y": Payload()}, file)
    rezip(folder / "policy.zip", {"policy.pth": file.getvalue()})


def pickles_beside(folder: Path) -> None:
    """Pickles under every name that some tool loads."""
    for name in ("vecnormalize.pkl", "policy.pkl", "reward.pt", "model.pth", "checkpoint.pkl", "config.pkl"):
        (folder / name).write_bytes(PICKLE)
    for name in ("reward.safetensors", "result.json", "metrics.csv", "gallery.json", "agent.json"):
        (folder / name).write_bytes(PICKLE)


def pickled_checkpoint(folder: Path) -> None:
    """A checkpoint whose hashes are right and whose contents are a pickle."""
    import hashlib

    place = folder / "checkpoints" / "000000000512"
    place.mkdir(parents=True)
    for name in ("tensors.safetensors", "state.json"):
        (place / name).write_bytes(PICKLE)
    digest = hashlib.sha256(PICKLE).hexdigest()
    hashes = {"tensors.safetensors": digest, "state.json": digest}
    (place / "manifest.json").write_text(json.dumps({"version": 1, "sha256": hashes}))


def object_arrays(folder: Path) -> None:
    """A clip whose arrays are objects, that is a pickle."""
    array = np.empty(1, object)
    array[0] = Payload()
    for path in (folder / "clips").rglob("*.npz"):
        np.savez(path, obs=array, actions=array)


def yaml_tags(folder: Path) -> None:
    """A config that YAML would run."""
    (folder / "config.toml").write_text(f'env_id: !!python/object/apply:os.system ["touch ${SENTINEL}"]\n')


def module_in_the_folder(folder: Path) -> None:
    """A config whose game is a module in the folder itself."""
    (folder / "evil_game.py").write_text(MODULE)
    _set(folder, 'env_id = "prefrl/Dot-v0"', f'env_id = "{folder.name}.evil_game:Evil-v0"')


def zip_slip(folder: Path) -> None:
    """Members of policy.zip that would be written elsewhere by who extracts it."""
    rezip(folder / "policy.zip", {"../../escaped": b"x", "/tmp/escaped": b"x"})  # noqa: S108  # the trick itself


def bomb_in_weights(folder: Path) -> None:
    """policy.pth that says it has 4 GiB, in few bytes."""
    bomb = zip_bomb("policy.pth")
    (folder / "policy.zip").write_bytes(claiming(bomb, BOMB_BYTES))


def bomb_in_inner_zip(folder: Path) -> None:
    """policy.pth whose own zip inflates to more than it has."""
    rezip(folder / "policy.zip", {"policy.pth": zip_bomb("archive/data/0")})


def stretched_weights(folder: Path) -> None:
    """A tensor of 10 GiB over one number."""
    file = io.BytesIO()
    torch.save({"mlp_extractor.policy_net.0.weight": torch.zeros(1).expand(BOMB_BYTES // 4)}, file)
    rezip(folder / "policy.zip", {"policy.pth": file.getvalue()})


def nan_weights(folder: Path) -> None:
    """Weights that are no numbers."""
    with zipfile.ZipFile(folder / "policy.zip") as archive:
        weights = torch.load(io.BytesIO(archive.read("policy.pth")), weights_only=True)
    file = io.BytesIO()
    torch.save({name: tensor * torch.nan for name, tensor in weights.items()}, file)
    rezip(folder / "policy.zip", {"policy.pth": file.getvalue()})


def clip_bomb(folder: Path) -> None:
    """Clips that inflate to 512 MiB."""
    bomb = zip_bomb("obs.npy", 2**29)
    for path in (folder / "clips").rglob("*.npz"):
        path.write_bytes(bomb)


def huge_json(folder: Path) -> None:
    """JSON without end, and nested without end."""
    for name in ("result.json", "agent.json"):
        (folder / name).write_text("[" * 1_000_000)
    with (folder / "gallery.json").open("wb") as file:
        file.truncate(BOMB_BYTES)


def deep_json(folder: Path) -> None:
    """JSON that is small, and nested too deeply to be read."""
    for name in ("result.json", "agent.json", "gallery.json"):
        (folder / name).write_text("[" * 100_000)


def wrong_json(folder: Path) -> None:
    """JSON of other kinds than a report expects."""
    (folder / "result.json").write_text('{"env_return": {}, "seconds": [1], "reward_model": 5, "versions": "x"}')
    (folder / "gallery.json").write_text('{"learned_returns": ["a"], "env_returns": [1], "most_liked": [{"x": 1}]}')
    (folder / "agent.json").write_text('{"steps": "many"}')


def path_as_clip(folder: Path) -> None:
    """A gallery that names a file elsewhere as a clip."""
    entry = {"clip_id": "../../../../etc/passwd", "learned_return": 1.0, "env_return": 1.0}
    (folder / "gallery.json").write_text(json.dumps({"most_liked": [entry]}))


def wide_csv(folder: Path) -> None:
    """Metrics of a million columns, and a cell without end."""
    (folder / "metrics.csv").write_text(",".join("x" * 5 + str(i) for i in range(1_000_000)) + "\n" + "1," * 10 + "\n")


def binary_csv(folder: Path) -> None:
    """Metrics that are no text."""
    (folder / "metrics.csv").write_bytes(b"\xff\xfe\x00time\n" + b'"' + b"x" * 300_000)


def trigger(folder: Path) -> None:
    """A store with a trigger of its own."""
    _sqlite(folder, "CREATE TRIGGER t AFTER INSERT ON labels BEGIN SELECT writefile('/tmp/x', 'y'); END")


def view(folder: Path) -> None:
    """A store whose view of the labels is another."""
    _sqlite(folder, "DROP VIEW current_labels", "CREATE VIEW current_labels AS SELECT load_extension('x') AS seq")


def no_database(folder: Path) -> None:
    """A store that is a pickle."""
    (folder / "labels.sqlite").write_bytes(PICKLE)


def huge_settings(folder: Path) -> None:
    """A config that asks for memory without end."""
    _set(folder, "n_envs = 8", "n_envs = 1000000000")


def huge_rollout(folder: Path) -> None:
    """The same, by the length of a rollout."""
    _set(folder, "n_steps = 64", "n_steps = 100000000000")


def no_numbers(folder: Path) -> None:
    """Settings that are no numbers."""
    _set(folder, "clip_seconds = 1.0", "clip_seconds = nan")


def deep_toml(folder: Path) -> None:
    """A config nested too deeply to be read."""
    (folder / "config.toml").write_text('env_id = "prefrl/Dot-v0"\nx = ' + "[" * 100_000)


def large_toml(folder: Path) -> None:
    """A config of 64 MiB."""
    (folder / "config.toml").write_text('env_id = "prefrl/Dot-v0"\n#' + "x" * 2**26)


def linked(name: str) -> Callable[[Path], None]:
    """One of the run's files or folders is a link to what its reader has and its maker has not."""

    def link(folder: Path) -> None:
        secret = folder.parent / f"{folder.name}.secret"
        place = folder / name
        if place.exists():
            place.rename(secret)
        else:
            secret.write_text("secret")
        place.symlink_to(secret)

    link.__name__ = f"link_{name.replace('.', '_').replace('/', '_')}"
    return link


def pipe(folder: Path) -> None:
    """A result that is a pipe, of which a read never ends."""
    (folder / "result.json").unlink()
    os.mkfifo(folder / "result.json")


LINKED = ("config.toml", "result.json", "metrics.csv", "gallery.json", "labels.sqlite", "policy.zip", "clips",
          "checkpoints", "agent.json", "drawn", "trainer.lock", "reward.safetensors", "labels.sqlite-wal")  # fmt: skip
TRICKS: dict[str, Callable[[Path], None]] = {
    trick.__name__: trick
    for trick in (
        pickled_data, pickled_weights, pickle_in_weights, pickles_beside, pickled_checkpoint, object_arrays, yaml_tags,
        module_in_the_folder, zip_slip, bomb_in_weights, bomb_in_inner_zip, stretched_weights, nan_weights, clip_bomb,
        huge_json, deep_json, wrong_json, path_as_clip, wide_csv, binary_csv, trigger, view, no_database,
        huge_settings, huge_rollout, no_numbers, deep_toml, large_toml, pipe, *map(linked, LINKED),
    )
}  # fmt: skip


def write_all(folder: Path) -> dict[str, Path]:
    """A run folder for each trick, by its name."""
    runs = {}
    for name, trick in TRICKS.items():
        runs[name] = honest_run(folder / name)
        trick(runs[name])
    return runs


__all__ = ["SENTINEL", "TRICKS", "ClipFiles", "honest_run", "write_all"]
