"""Debian's Chromium, and its nginx."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browsers.nginx import Nginx
from tests.demo.visits import FLAGS

REQUIRED = os.environ.get("SSE_RELAY_REQUIRE", "")


def _found(program: str) -> str:
    """Find a program; without it the tests are skipped, unless it is required."""
    path = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if path is None:
        if program in REQUIRED:
            pytest.fail(f"{program} is required and not installed")
        pytest.skip(f"{program} is not installed")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium."""
    path = _found("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def nginx(tmp_path: Path) -> Nginx:
    """Tell how to run nginx."""
    return Nginx(_found("nginx"), tmp_path)
