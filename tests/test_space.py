"""The studio as a Hugging Face Space: what the Space installs, and that its app answers."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent


def test_the_space_installs_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "space" / "requirements.txt").read_text().splitlines()
    listed = {line for line in lines if not line.startswith(("#", "--"))}
    assert listed == set(project["dependencies"])


def test_the_header_names_what_there_is():
    header = yaml.safe_load((ROOT / "space" / "README.md").read_text().split("---")[1])
    assert (ROOT / "space" / header["app_file"]).is_file()
    assert header["python_version"] == "3.11"
    constraints = (ROOT / "constraints.txt").read_text()
    assert header["sdk"] == "gradio"
    assert f"gradio=={header['sdk_version']}\n" in constraints
    assert len(header["short_description"]) <= 60


@pytest.mark.slow
def test_the_space_s_app_answers(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    copy = tmp_path / "repository"
    ignored = shutil.ignore_patterns(".git", ".venv", "tests", "runs", "demo", "dist", "_build")
    shutil.copytree(ROOT, copy, ignore=ignored)
    subprocess.run(["make", "space"], cwd=copy, check=True, capture_output=True)
    code = (
        "import os, runpy, sys, urllib.request;"
        "os.chdir(sys.argv[1]); "
        "import gradio; gradio.Blocks.block_thread = lambda self:"
        " print(urllib.request.urlopen(self.local_url).read()[:15]);"
        "runpy.run_path('app.py', run_name='__main__')"
    )
    environment = {"GRADIO_SERVER_PORT": "7993", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(copy / "dist" / "space" / "src")
    result = subprocess.run(
        [sys.executable, "-c", code, str(copy / "dist" / "space")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert re.search(r"http://127.0.0.1:7993/\s+b'<!doctype html>'", result.stdout), result.stderr
