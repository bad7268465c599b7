"""The package as a newcomer gets it: installed into a fresh environment, used from an empty folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import hostcall

from .support import PACKAGE

USE = """
import asyncio, importlib.metadata, pathlib, hostcall, hostcall.sync
assert hostcall.__version__ == importlib.metadata.version("hostcall")
assert (pathlib.Path(hostcall.__file__).parent / "py.typed").exists()
try:
    hostcall.sync.connect("/nowhere/hostcall.sock")
except hostcall.CannotConnect as error:
    print(error)
"""


class PackageTests(unittest.TestCase):
    def run_in(self, folder: str, *command: str) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=120, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    @staticmethod
    def files_in(folder: str) -> "list[str]":
        return sorted(str(file) for file in pathlib.Path(folder).rglob("*") if "__pycache__" not in file.parts)

    def test_installs_into_a_fresh_environment_and_works_in_an_empty_folder(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source, environment, empty = (os.path.join(folder, name) for name in ("source", "environment", "empty"))
            shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "tests", "*.egg-info"))
            os.mkdir(empty)
            # What builds it comes from outside of the environment, so that no network is needed.
            self.run_in(folder, sys.executable, "-m", "venv", "--system-site-packages", environment)
            python = os.path.join(environment, "bin", "python")
            install = (
                python, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--force-reinstall",
                "--disable-pip-version-check", source,
            )
            module = pathlib.Path(source, "src", "hostcall", "deleted.py")
            sources = self.files_in(source)
            module.touch()
            self.run_in(folder, *install)
            self.run_in(empty, python, "-c", "import hostcall.deleted")
            # Nothing of a build stays in the sources, so the next one is of what is there.
            module.unlink()
            self.assertEqual(self.files_in(source), sources)
            self.run_in(folder, *install)
            self.run_in(empty, python, "-c", "import importlib.util as u; assert not u.find_spec('hostcall.deleted')")
            output = self.run_in(empty, python, "-c", USE)
            self.assertEqual(
                output,
                "cannot reach hostcalld at /nowhere/hostcall.sock: no such file or directory (start it with: hostcalld, "
                "or set HOSTCALL_SOCKET)\n",
            )

    def test_nothing_needs_a_newer_python_than_it_says(self) -> None:
        # `ast` knows the grammar of older versions well enough to refuse what came later, such as `match`.
        import ast

        for file in sorted(PACKAGE.rglob("*.py")):
            ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 9))
        self.assertIn('requires-python = ">=3.9"', (PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))

    def test_the_readme_names_every_limit_with_its_default(self) -> None:
        readme = (PACKAGE / "README.md").read_text(encoding="utf-8")
        for name, value in vars(hostcall.Limits()).items():
            self.assertIn(f"| `{name}` | {value:,.0f} |", readme)
        self.assertTrue(pathlib.Path(hostcall.__file__).with_name("py.typed").exists())
