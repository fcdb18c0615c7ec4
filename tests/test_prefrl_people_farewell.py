"""The end of a training with a page beside it: whoever waits there is told, and then the page goes."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

TOY = ("--env-id", "prefrl/Dot-v0", "--labeler", "web", "--invite", "Ann", "--port", "0", "--eval.episodes", "2")


def link_of_ann(trainer: subprocess.Popen[str]) -> str:
    assert trainer.stdout is not None
    for line in trainer.stdout:
        if found := re.search(r"Ann: (http\S+)", line):
            return found[1]
    raise AssertionError("no link was said")


def answer_all(page: httpx.Client) -> list[str]:
    """Answers what is asked as a browser does, until the page is gone; returns the states of the agent it was told."""
    states: list[str] = []

    def post(path: str, **body: Any) -> Any:
        found = page.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
        return found.json()

    try:
        while True:
            time.sleep(0.06)  # no faster than the page's server lets anybody ask
            found = post("/api/next", n=1, hold=[])
            if found.get("state", {}).get("agent"):
                states.append(found["state"]["agent"]["state"])
            for offer in found.get("offers", []):
                times = {"shown_at_utc_ms": 1, "answered_at_utc_ms": 2, "ms_on_screen": 1}
                post("/api/answer", label_id=secrets.token_hex(8), query_id=offer["query_id"], choice="left", **times)
    except httpx.TransportError:
        return states


@pytest.mark.slow
def test_the_last_that_the_page_says_of_a_training_is_that_it_has_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "prefrl.cli", "train", *TOY, "--total-labels", "12", "-n", "3000"]
    command += ["--run-dir", str(tmp_path / "run"), "--repeat-share", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as trainer:
        link = link_of_ann(trainer)
        origin = link.split("/join")[0]
        with httpx.Client(base_url=origin, headers={"origin": origin}, timeout=40) as page:
            assert page.get(link).status_code == 200
            states = answer_all(page)
        assert trainer.stdout is not None
        said = trainer.stdout.read()
    assert trainer.returncode == 0, said
    assert states[-1] == "ended"
    assert "the page has ended" not in said
