# SPDX-License-Identifier: Apache-2.0
"""The program hici, as a wheel brings it.

bin/hici looks for torch beside this package and sees whether it is of the release that it was built for. Where torch or
pyarrow are elsewhere (a virtual environment over the system's packages), this module tells it. None of them is imported.
"""
import importlib.util
import os
import pathlib
import sys

PROGRAM = pathlib.Path(__file__).resolve().parent / "bin" / "hici"


def package_folder(name):
    """Folder of an installed package, None where there is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return pathlib.Path(places[0]).resolve() if places else None


def environment(environ):
    """`environ` with the folders of what lies elsewhere than beside this package. The user's word stays."""
    environ = dict(environ)
    packages = PROGRAM.parents[2]
    for variable, name in (("HICI_TORCH", "torch"), ("HICI_PYARROW", "pyarrow")):
        folder = package_folder(name)
        if folder is not None and folder.parent != packages:
            environ.setdefault(variable, str(folder))
    return environ


def main():
    os.execve(PROGRAM, ["hici", *sys.argv[1:]], environment(os.environ))
