"""The flags of `prefrl train`: what decides on the settings that a run begins from."""

from pathlib import Path

import pytest
import torch

from prefrl.flags import parse_train


@pytest.mark.parametrize(
    ("typed", "in_file", "n_envs", "device"),
    [
        ("", "", 128, "auto"),
        ("", "cpu", 8, "cpu"),
        ("cpu", "", 8, "cpu"),
        ("cpu", "cuda", 8, "cpu"),
        ("auto", "cpu", 128, "auto"),
        ("cuda", "cpu", 128, "cuda"),
    ],
)
def test_the_device_decides_on_the_preset_wherever_it_is_said(
    typed: str, in_file: str, n_envs: int, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    path = tmp_path / "my.toml"
    path.write_text(f'device = "{in_file}"\n' if in_file else "", encoding="utf-8")
    args = ["--env-id", "ALE/Pong-v5", "--config", str(path), *(["--device", typed] if typed else [])]
    config, _ = parse_train(args)
    assert (config.world.n_envs, config.world.frame_size) == (n_envs, 84 if n_envs == 128 else 42)
    assert config.device == device
