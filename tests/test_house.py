"""The repository itself: style, types, layers, contents, and how fast the command starts."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "train", "predict", "polygonize", "rasterize", "evaluate", "export", "info", "doctor", "demo"
)  # fmt: skip


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"}
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, env=environment, text=True, capture_output=True
    )


def script(name: str) -> str:
    """A tool of this environment."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert found, f"{name} is not installed; pip install -e '.[dev]'"
    return found


def repository_files() -> list[str]:
    """Paths of the repository: what git has; without git, what it would not ignore."""
    if shutil.which("git") and (ROOT / ".git").exists():
        # safe.directory: a container's user need not own the clone
        listed = run("git", "-c", "safe.directory=*", "ls-files", "-z")
        assert listed.returncode == 0, listed.stderr
        return [path for path in listed.stdout.split("\0") if (ROOT / path).is_file()]
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]

    def belongs(path: Path) -> bool:
        parts = path.relative_to(ROOT).parts
        return path.is_file() and not any(
            fnmatch.fnmatch(part, name) for part in parts for name in [".git", *ignored]
        )

    return [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if belongs(path)]


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports",),
    ],
    ids=" ".join,
)
def test_code_passes(command):
    done = run(script(command[0]), *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_top_level_is_what_it_is():
    visible = {path.split("/")[0] for path in repository_files() if not path.startswith(".")}
    assert visible == {
        "geounet",
        "tests",
        "examples",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
    }


def test_no_file_names_a_path_of_a_machine_or_leaves_work_undone():
    own = [path for path in (ROOT, Path.home(), Path(sys.prefix)) if len(path.parts) > 2]
    somewhere = r"/(?:home|Users|root|work|mnt|tmp)/\w"
    places = "|".join([somewhere, *(re.escape(str(path)) for path in own)])
    unwanted = re.compile(rf"(?<![\w.~/:-])(?:{places})|\b(?:TO" rf"DO|FIX" rf"ME)\b")
    found = []
    for path in repository_files():
        content = (ROOT / path).read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode().splitlines(), 1):
            if unwanted.search(line):
                found.append(f"{path}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=" ".join)
def test_help_loads_neither_torch_nor_rasterio(command):
    done = run(sys.executable, "-X", "importtime", "-m", "geounet", *command, "--help")
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    assert "Usage" in done.stdout
    times = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in times}
    assert "geounet" in loaded
    assert not loaded & {"torch", "rasterio"}


def work_s(*command: str | Path) -> float:
    """Seconds of processor that a command takes, however much else the machine has to do."""
    before = os.times()
    assert run(*command).returncode == 0
    after = os.times()
    return sum(
        getattr(after, name) - getattr(before, name)
        for name in ("children_user", "children_system")
    )


def test_help_is_quick():
    """0.4 s; on a slow machine, twice what Python and the help of a Typer app without options need.

    Shared caches and hyperthreads make work longer, too: the shortest of several runs counts.
    """
    bare = "import typer; app = typer.Typer(); app.command()(lambda: None); app()"
    help_s, bare_s = [], []
    for _ in range(10):
        help_s.append(work_s(sys.executable, "-m", "geounet", "--help"))
        bare_s.append(work_s(sys.executable, "-c", bare, "--help"))
        if min(help_s) < max(0.4, 2 * min(bare_s)):
            return
    raise AssertionError(f"--help takes {min(help_s):.2f} s, Typer alone {min(bare_s):.2f} s")
