"""Builds the package, for pip and others (PEP 517), in a copy of its folder.

Setuptools leaves `build` and `*.egg-info` where it works: that would litter the checkout, and a later build would take
modules from there that have been deleted since.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from setuptools import build_meta

# An editable installation uses the folder itself, so nothing is built apart from it.
build_editable = build_meta.build_editable
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
get_requires_for_build_wheel = build_meta.get_requires_for_build_wheel

_SOURCES = ("MANIFEST.in", "README.md", "build_backend.py", "pyproject.toml", "src")


def build_wheel(
    wheel_directory: str, config_settings: Optional[Dict[str, Any]] = None, metadata_directory: Optional[str] = None
) -> str:
    wheel_directory = os.path.abspath(wheel_directory)
    with _copy():
        name: str = build_meta.build_wheel(wheel_directory, config_settings)
        return name


def build_sdist(sdist_directory: str, config_settings: Optional[Dict[str, Any]] = None) -> str:
    sdist_directory = os.path.abspath(sdist_directory)
    with _copy():
        name: str = build_meta.build_sdist(sdist_directory, config_settings)
        return name


@contextmanager
def _copy() -> Iterator[None]:
    """Works in a temporary copy of the folder, without what an editable installation has left there."""
    here = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="hostcall-build-") as folder:
        for name in _SOURCES:
            if os.path.isdir(name):
                left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(name, os.path.join(folder, name), ignore=left_out)
            else:
                shutil.copy2(name, folder)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)
