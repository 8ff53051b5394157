"""Branching vessels of the lungs and the liver, grown from drawn numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from sample_dicom.noise import uniforms
from sample_dicom.plane import Point, Tube

_DRAWS = 40_000


@dataclass(frozen=True, slots=True)
class Tree:
    """How one tree grows."""

    seed: int
    root: Point
    targets: tuple[Point, ...]
    """Where the main branches head."""
    radius_mm: float
    generations: int = 4
    shrink: float = 0.68
    """Width and length of a branch, as a part of its parent's."""


@cache
def grow(tree: Tree) -> tuple[Tube, ...]:
    """Return the stretches of a tree, the thickest first."""
    draws = iter(uniforms(tree.seed, _DRAWS))
    found: list[Tube] = []
    for target in tree.targets:
        vector = np.subtract(target, tree.root) * 0.42
        found.extend(_branch(tree, (np.asarray(tree.root, float), vector, tree.radius_mm), tree.generations, draws))
    return tuple(sorted(found, key=lambda tube: -tube.radii[0]))


def cut_by(tree: Tree, z_mm: float) -> list[Tube]:
    """Return the stretches of a tree that a plane can cut: of a thousand, some dozens."""
    return [tube for tube, (low, high) in zip(grow(tree), _reaches(tree), strict=True) if low < z_mm < high]


@cache
def _reaches(tree: Tree) -> tuple[tuple[float, float], ...]:
    """Return the lowest and highest point (mm) of each stretch."""
    spans = []
    for tube in grow(tree):
        levels = [point[2] for point in tube.points]
        spans.append((min(levels) - tube.radii[0], max(levels) + tube.radii[0]))
    return tuple(spans)


_Start = tuple["np.typing.NDArray[np.float64]", "np.typing.NDArray[np.float64]", float]


def _branch(tree: Tree, start: _Start, generations: int, draws: Iterator[float]) -> Iterator[Tube]:
    """Yield a branch, with a bend in it, and all that grows from its end."""
    origin, vector, radius = start
    length = float(np.sqrt(vector @ vector))
    bend = np.array([next(draws) - 0.5 for _ in range(3)]) * 0.25 * length
    middle, end = origin + vector / 2 + bend, origin + vector
    points = tuple((float(p[0]), float(p[1]), float(p[2])) for p in (origin, middle, end))
    yield Tube(points, (radius, radius * 0.9, radius * 0.78))
    if generations == 0:
        return
    for _ in range(3 if generations > 2 else 2):
        sway = np.array([next(draws) - 0.5 for _ in range(3)]) * 1.5 * length
        onward = vector * (0.55 + 0.4 * next(draws)) + sway
        onward *= tree.shrink * length / max(float(np.sqrt(onward @ onward)), 1e-6) * 1.15
        yield from _branch(tree, (end, onward, radius * tree.shrink), generations - 1, draws)
