"""Settings of a run of seconds on the toy world."""

from pathlib import Path

import prefrl


def toy_config(folder: Path, **changes: object) -> prefrl.Config:
    """40 answers, 4,000 steps, into `folder`; changes as for `default_config`."""
    settings: dict[str, object] = {
        "total_labels": 40,
        "total_timesteps": 4000,
        "run_dir": str(folder),
        "progress": False,
        "eval": {"episodes": 8},
    }
    return prefrl.default_config("prefrl/Dot-v0", **{**settings, **changes})
