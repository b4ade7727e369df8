# SPDX-License-Identifier: Apache-2.0
"""The wheel in a fresh virtual environment: torch beside it or elsewhere, of another release or missing; pyarrow likewise.

    python3 tests/wheel_test.py WHEEL SITE_PACKAGES

SITE_PACKAGES has the torch, pyarrow and nvidia packages that stand for installed ones: they are linked, not copied.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import venv

WHEEL, PACKAGES = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
RELEASE = WHEEL.name.split("+torch")[1].split("-")[0]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}


def link_tree(source, target):
    """Hard links, as cp -al: a package of gigabytes in a second, and no path leads out of the environment."""
    subprocess.run(["cp", "-al", source, target], check=True)


class WheelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(dir=WHEEL.parent, prefix="wheel-test-"))  # hard links need one file system
        cls.addClassCleanup(shutil.rmtree, cls.home)
        venv.create(cls.home / "env", with_pip=True, symlinks=True)
        cls.python = cls.home / "env" / "bin" / "python3"
        subprocess.run([cls.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", WHEEL],
                       check=True)
        cls.packages = next((cls.home / "env" / "lib").glob("python3*")) / "site-packages"

    def tearDown(self):
        for name in ("torch", "nvidia", "pyarrow", "elsewhere.pth"):
            path = self.packages / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)

    def install(self, *names):
        for name in names:
            link_tree(PACKAGES / name, self.packages / name)

    def install_torch(self):
        self.install(*(name for name in ("torch", "nvidia") if (PACKAGES / name).is_dir()))

    def hici(self, *arguments, code=0, **more):
        done = subprocess.run([self.home / "env" / "bin" / "hici", *map(str, arguments)], capture_output=True, text=True, timeout=600,
                              cwd=self.home, env={**ENVIRONMENT, **more})
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def refused(self, *needles, arguments=("devices",)):
        done = self.hici(*arguments, code=1)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for needle in (": error: ", *needles):
            self.assertIn(needle, done.stderr)

    def write_rows(self):
        subprocess.run([PACKAGES.parents[2] / "bin" / "python3", "-c",
                        "import pyarrow as a, pyarrow.parquet as p\n"
                        "p.write_table(a.table({'text': ['a text of some words'] * 50}), 'text.parquet')"], cwd=self.home, check=True)

    def test_beside_torch(self):
        self.install_torch()
        self.assertIn("LibTorch " + RELEASE, self.hici("--version").stdout)
        self.assertIn("cpu", self.hici("devices").stdout.lower())

    def test_torch_elsewhere(self):
        """As in a virtual environment over the system's packages."""
        (self.packages / "elsewhere.pth").write_text(f"{PACKAGES}\n")
        self.hici("devices")
        (self.packages / "elsewhere.pth").unlink()
        self.refused("none is installed beside it")
        self.hici("devices", HICI_TORCH=str(PACKAGES / "torch"))

    def test_help_needs_no_torch(self):
        self.assertIn("Usage: hici COMMAND", self.hici("--help").stdout)

    def test_manual_and_recipes_are_in_the_environment(self):
        share = self.home / "env" / "share"
        self.assertIn("\n.TH HICI 1 ", (share / "man" / "man1" / "hici.1").read_text())
        configs = pathlib.Path(__file__).parents[1] / "configs"
        self.assertEqual({path.name: path.read_text() for path in (share / "hici" / "configs").iterdir()},
                         {path.name: path.read_text() for path in configs.iterdir()})

    def test_no_torch(self):
        self.refused(f"needs torch {RELEASE}, and none is installed", f"pip install 'torch=={RELEASE}.*'")

    def test_another_torch(self):
        (self.packages / "torch" / "lib").mkdir(parents=True)
        (self.packages / "torch" / "version.py").write_text("__version__ = '2.99.1+cu999'\n")
        self.refused("is no whole torch", f"pip install 'torch=={RELEASE}.*'")
        (self.packages / "torch" / "lib" / "libtorch_cpu.so").touch()
        self.refused("torch 2.99.1+cu999, and this hici is for " + RELEASE, "whose version ends with +torch2.99")

    def test_arrow(self):
        self.install_torch()
        self.write_rows()
        command = ("train-tokenizer", "--input", "text.parquet", "--vocab_size", 270, "--output_dir", "tokenizer")
        self.refused("needs pyarrow, which is not in ", "pip install a pyarrow of ", arguments=command)
        (self.packages / "pyarrow").mkdir()
        (self.packages / "pyarrow" / "libarrow.so.9900").touch()
        self.refused("is pyarrow 99.0, which this hici does not read with", arguments=command)
        self.hici(*command, HICI_PYARROW=str(PACKAGES / "pyarrow"))
        shutil.rmtree(self.packages / "pyarrow")
        shutil.rmtree(self.home / "tokenizer")
        self.install("pyarrow")
        self.hici(*command)
        self.assertTrue((self.home / "tokenizer" / "tokenizer.json").exists())


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
