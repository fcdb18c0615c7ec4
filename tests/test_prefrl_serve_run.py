"""From the flags of `prefrl train` and `prefrl serve` to what the page is served with."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefrl import flags
from prefrl.config import Config
from prefrl.serve_run import ServeArgs, _settings, _web, _with_options


def trained_with(*words: str) -> Config:
    return flags.parse_train(["--env-id", "prefrl/Dot-v0", "--labeler", "web", *words])[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ServeArgs(Path("run")), ("127.0.0.1", 9000, ("lab",), "https://lab.example")),  # as the run says
        (ServeArgs(Path("run"), public_url=""), ("127.0.0.1", 9000, ("lab",), "")),
        (
            ServeArgs(Path("run"), host="0.0.0.0", port=0, allowed_host=("a", "b"), public_url="http://b"),  # noqa: S104  # what is tested
            ("0.0.0.0", 0, ("a", "b"), "http://b"),  # noqa: S104  # the same
        ),
    ],
)
def test_the_page_is_as_the_run_says_but_for_what_is_given(given: ServeArgs, expected: tuple[object, ...]) -> None:
    config = trained_with("--port", "9000", "--allowed-host", "lab", "--public-url", "https://lab.example")
    settings = _settings(_web(), _with_options(config, given))
    assert (settings.host, settings.port, settings.allowed_hosts, settings.public_url) == expected
