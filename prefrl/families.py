"""Families of worlds, told from their ids alone, and of labelers; each has a preset of settings known to work there."""

from __future__ import annotations

PEOPLE = ("window", "web")
"""Labelers that are people; each names the way they are asked."""

FEW_ANSWERS = 200
"""Up to how many answers a run of robots begins from a preset of its own; between 100, where it helps, and 350."""


def names_of(invite: tuple[str, ...]) -> tuple[str, ...]:
    """The names of people who are invited, given one by one or with commas between them; each once."""
    names = [name.strip() for words in invite for name in words.split(",")]
    return tuple(dict.fromkeys(name for name in names if name))


def family(env_id: str) -> str:
    """Which kind of world an id names: atari, robots, toy, or custom for every other Gymnasium id."""
    if env_id.startswith("ALE/"):
        return "atari"
    if env_id.startswith("prefrl/"):
        return "toy"
    import gymnasium as gym  # slow to import, and not needed for --help

    spec = gym.registry.get(env_id)
    if spec is not None and str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        return "robots"
    return "custom"


def preset_for(env_id: str, device: str) -> str:
    """The preset that `--preset auto` takes: the family's, and for Atari without a GPU one of smaller networks."""
    kind = family(env_id)
    if kind != "atari":
        return kind
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return "atari" if device == "cuda" else "atari-cpu"


def presets_of(preset: str, labeler: str, *, is_few: bool) -> list[str]:
    """A preset with what it is laid over, and what is laid over it: for few answers, and for people."""
    names = ["robots", "robots-few"] if preset == "robots-few" or (preset == "robots" and is_few) else [preset]
    return [*names, "people"] if labeler in PEOPLE else names
