"""Write requirements.lock anew: exact versions with hashes, what runs first, the rest behind marks.

One file, so that a user's installation and a developer's cannot drift apart; ``make run`` installs the part before the
marks, and that of the viewer where the system has no npm. Needs ``uv`` (``pip install uv``).
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
VIEWER_MARK = "# --- viewer"
TEST_MARK = "# --- test"
OLDEST_PYTHON = "3.11"


def compiled(*arguments: str) -> list[str]:
    """Return the entries that uv resolves, one text for each package with its hashes."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--generate-hashes", "--no-annotate"]
    command += ["--no-header", "--no-emit-index-url", "--python-version", OLDEST_PYTHON, *arguments]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own
    return [entry.strip() for entry in re.split(r"\n(?=\S)", output.strip()) if not entry.startswith("#")]


def main() -> None:
    """Write the lock."""
    LOCK.unlink(missing_ok=True)
    everything = compiled("pyproject.toml", "--extra", "build", "--extra", "viewer", "--extra", "test")
    chosen = ROOT / ".lock-constraints"
    chosen.write_text("\n".join(entry.split(" ")[0] for entry in everything), encoding="utf-8")
    try:
        running = compiled("pyproject.toml", "--extra", "build", "--constraint", str(chosen))
        viewing = compiled("pyproject.toml", "--extra", "build", "--extra", "viewer", "--constraint", str(chosen))
    finally:
        chosen.unlink()
    fetching = [entry for entry in viewing if entry not in running]
    testing = [entry for entry in everything if entry not in viewing]
    parts = ["# Written by `make lock`.", *running, VIEWER_MARK, *fetching, TEST_MARK, *testing]
    LOCK.write_text("\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
