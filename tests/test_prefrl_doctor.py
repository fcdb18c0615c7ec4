"""The doctor finds what is there, names what is missing, and survives what crashes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from prefrl import doctor
from prefrl.doctor import Finding, check, print_findings, release, sqlite_journal, to_json


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    return named(check(tmp_path_factory.mktemp("runs")))


def test_what_the_learner_needs_is_ok(findings: dict[str, Finding]) -> None:
    for name in ("python", "torch", "gymnasium", "stable-baselines3", "SQLite", "cores"):
        assert findings[name].status == "ok", findings[name]
    assert findings["python"].detail.startswith(f"3.{sys.version_info.minor}.")


def test_every_finding_that_is_not_ok_says_what_to_do(findings: dict[str, Finding]) -> None:
    assert [f for f in findings.values() if f.status != "ok" and not f.remedy] == []


def test_video_codec_is_really_opened(findings: dict[str, Finding]) -> None:
    pytest.importorskip("cv2")
    assert findings["video"] == Finding("video", "ok", "VP9 in WebM")


@pytest.mark.parametrize(
    ("version", "journal"),
    [
        ((3, 51, 3), "write-ahead log"),
        ((3, 52, 0), "write-ahead log"),
        ((3, 50, 7), "write-ahead log"),
        ((3, 44, 6), "write-ahead log"),
        ((3, 51, 2), "rollback journal"),
        ((3, 51, 0), "rollback journal"),
        ((3, 50, 6), "rollback journal"),
        ((3, 45, 0), "rollback journal"),
        ((3, 44, 5), "rollback journal"),
        ((3, 40, 1), "rollback journal"),
    ],
)
def test_write_ahead_log_only_where_its_race_is_mended(version: tuple[int, int, int], journal: str) -> None:
    finding = sqlite_journal(version)
    assert finding.status == "ok"
    assert finding.detail.startswith(f"{'.'.join(map(str, version))}, {journal}")


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.13.0+cpu", (2, 13, 0)), ("1.0.1", (1, 0, 1)), ("2.10rc1", (2, 10)), ("unknown", ())],
)
def test_release_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert release(version) == numbers


@pytest.mark.parametrize(
    ("package", "version", "status"),
    [
        ("torch", "2.9.1", "bad"),
        ("torch", "2.10.0", "ok"),
        ("starlette", "1.0.0", "bad"),
        ("starlette", "1.0.1", "ok"),
    ],
)
def test_security_floors(package: str, version: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    monkeypatch.setattr(doctor, "_probe", lambda *_: (True, ""))
    monkeypatch.setattr(metadata, "version", {package: version}.__getitem__)
    (part,) = (part for part in doctor._PACKAGES if part[0] == package)
    finding = doctor._package(*part)
    assert finding.status == status
    if status == "bad":
        assert "CVE-2026-" in finding.detail
        assert finding.remedy.startswith("pip install ")


def test_an_absent_package_is_missing_or_bad_by_need() -> None:
    absent = ("prefrl-none", "prefrl_none", (1,))
    assert doctor._package(*absent, False, "pip install x", "") == Finding(
        "prefrl-none", "missing", "not installed", "pip install x"
    )
    assert doctor._package(*absent, True, "pip install x", "").status == "bad"


def test_a_package_that_does_not_start_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "1.0")
    finding = doctor._package("x", "prefrl_none", (1,), False, "pip install x", "")
    assert finding.status == "bad"
    assert finding.detail == ("1.0 is installed but does not start: ModuleNotFoundError: No module named 'prefrl_none'")


def test_a_crash_of_native_code_is_a_finding() -> None:
    ok, said = doctor._probe("import os; os.abort()", {})
    assert (ok, said) == (False, "killed by signal 6")


def test_a_hanging_probe_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE_SECONDS", 0.3)
    assert doctor._probe("input_ = open(0).read\nwhile True: pass", {}) == (
        False,
        "no answer within 0.3 s",
    )


def test_a_probe_sees_its_environment_and_gives_its_last_line() -> None:
    code = "import os; print('first'); print(os.environ['COLOUR'])"
    assert doctor._probe(code, {"COLOUR": "green"}) == (True, "green")


def test_rendering_with_a_wrong_setting_is_bad_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mujoco")
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    finding = doctor._rendering()
    assert finding.status == "bad"
    assert finding.remedy.startswith("unset MUJOCO_GL (now nonsense)")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 and Wayland only")
def test_no_display_is_missing_and_a_dead_one_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cv2")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    absent = doctor._window()
    assert (absent.status, absent.detail) == ("missing", "no display (DISPLAY is not set)")
    monkeypatch.setenv("DISPLAY", ":4321")
    assert doctor._window().status == "bad"  # Qt aborts its process here


def test_a_full_disk_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**62)
    finding = doctor._disk(tmp_path)
    assert finding.status == "bad"
    assert str(tmp_path) in finding.detail


def test_json_and_table_hold_every_word() -> None:
    findings = [
        Finding("torch", "ok", "2.13.0"),
        Finding("[bold]x", "missing", "not [red]there", "pip install 'prefrl[web]'"),
    ]
    assert json.loads(to_json(findings)) == [
        {"name": "torch", "status": "ok", "detail": "2.13.0", "remedy": ""},
        {
            "name": "[bold]x",
            "status": "missing",
            "detail": "not [red]there",
            "remedy": "pip install 'prefrl[web]'",
        },
    ]
    console = Console(width=120, record=True, file=io.StringIO())
    print_findings(findings, console)
    text = console.export_text()
    for word in ("ok", "missing", "2.13.0", "[bold]x", "not [red]there", "'prefrl[web]'"):
        assert word in text


def test_importing_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, prefrl.doctor, prefrl.report; print([m for m in ('torch', 'gymnasium', 'cv2',"
        " 'stable_baselines3', 'matplotlib', 'mujoco') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"
