"""``python -m sample_dicom [OUTPUT] [--subset]``: make the samples."""

import argparse
from pathlib import Path

from sample_dicom.generation import HOME, generate, generate_subset


def main() -> None:
    """Make the full set, or the committed subset and its listing."""
    parser = argparse.ArgumentParser(prog="python -m sample_dicom", description="Make synthetic DICOM studies.")
    parser.add_argument(
        "output", nargs="?", type=Path, default=HOME / "generated", help="folder of the full set (default: %(default)s)"
    )
    parser.add_argument(
        "--subset", action="store_true", help="make the small committed subset and its listing in README.md instead"
    )
    arguments = parser.parse_args()
    if arguments.subset:
        paths, where = generate_subset(HOME / "subset", HOME / "README.md"), HOME / "subset"
    else:
        paths, where = generate(arguments.output), arguments.output
    print(f"{len(paths)} DICOM files, {sum(path.stat().st_size for path in paths) / 1e6:.1f} MB, in {where}")


if __name__ == "__main__":
    main()
