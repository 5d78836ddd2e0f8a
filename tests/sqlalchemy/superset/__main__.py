"""``python -m tests.sqlalchemy.superset``: a real Superset over ``ftsql://``, over a snapshot and over ``ftsql serve``. Not part of the quick tests.

It makes a venv with Superset and this checkout (some 900 MB), starts the sandbox and Superset on free ports, creates
databases, datasets and charts through Superset's API, compares every number with SQLite's own, and takes screenshots
if Debian's chromium and chromium-driver are installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
# rich, cachetools: Superset 6.1 imports but does not require them; flask-caching: 2.4 removed a part that it needs
PACKAGES = ("apache-superset>=6,<7", "rich", "cachetools", "flask-caching<2.4", "psycopg2-binary")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sqlalchemy.superset", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the venv, Superset's home and the screenshots go")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", f"{CHECKOUT}[sandbox,sqlalchemy,serve]"], check=True, cwd=folder
    )
    return subprocess.run([python, str(Path(__file__).with_name("drive.py")), str(folder)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
