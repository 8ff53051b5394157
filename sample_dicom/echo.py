"""The heart phantom under ultrasound: a beating four-chamber view with colour flow, as RGB frames."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sample_dicom.noise import Floats, grain, smooth

_DEPTH_MM = 160.0
_HALF_ANGLE = 0.68
_SAMPLES, _LINES = 440, 200
Field = NDArray[np.float64]


def cine(rows: int, columns: int, n_frames: int) -> NDArray[np.uint8]:
    """Return one heart beat, shape (frames, rows, columns, 3)."""
    return np.stack([_frame(rows, columns, index / n_frames) for index in range(n_frames)])


def pixel_mm(rows: int) -> float:
    """Return the size of a pixel of a frame with so many rows."""
    return _DEPTH_MM / (rows * 0.86)


@lru_cache(maxsize=4)
def _sector(rows: int, columns: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return the beam and sample under each pixel, and which pixels the sector covers."""
    size = pixel_mm(rows)
    x = (np.arange(columns) + 0.5 - columns / 2) * size
    y = (np.arange(rows) + 0.5 - rows * 0.06) * size
    depth = np.sqrt(x[np.newaxis, :] ** 2 + y[:, np.newaxis] ** 2)
    angle = np.arctan2(x[np.newaxis, :], np.maximum(y[:, np.newaxis], 1e-9))
    covered = (depth < _DEPTH_MM) & (np.abs(angle) < _HALF_ANGLE) & (y[:, np.newaxis] > 0)
    sample = np.clip(depth / _DEPTH_MM * _SAMPLES, 0, _SAMPLES - 1).astype(np.intp)
    line = np.clip((angle / _HALF_ANGLE + 1) / 2 * _LINES, 0, _LINES - 1).astype(np.intp)
    return sample, line, covered


@lru_cache(maxsize=1)
def _beams() -> tuple[Field, Field]:
    """Return the position (mm) of each sample of each beam: sideways and in depth."""
    depth = (np.arange(_SAMPLES)[:, np.newaxis] + 0.5) / _SAMPLES * _DEPTH_MM
    angle = ((np.arange(_LINES)[np.newaxis, :] + 0.5) / _LINES * 2 - 1) * _HALF_ANGLE
    return depth * np.sin(angle), depth * np.cos(angle)


@lru_cache(maxsize=1)
def _speckle() -> Floats:
    """Return the speckle of tissue: the envelope of two noises, smeared sideways as beams widen."""
    parts = []
    for seed in (61, 62):
        noise = grain(seed, (_SAMPLES, _LINES))
        parts.append(
            noise + np.roll(noise, 1, axis=1) + 0.6 * np.roll(noise, 2, axis=1) + 0.5 * np.roll(noise, 1, axis=0)
        )
    envelope: Floats = np.sqrt(parts[0] ** 2 + parts[1] ** 2) / np.float32(2.0)
    return envelope


def _contraction(phase: float) -> float:
    """Return how far the ventricles are squeezed, 0..1, over one beat."""
    return float(np.interp(phase, (0, 0.12, 0.36, 0.55, 0.72, 1.0), (0, 0.35, 1.0, 0.25, 0.08, 0)))


def _cavity(centre: tuple[float, float], radii: tuple[float, float], turn_deg: float) -> Field:
    """Return the signed distance (mm) to a chamber."""
    x, y = _beams()
    turn = np.deg2rad(turn_deg)
    dx, dy = x - centre[0], y - centre[1]
    u = (dx * np.cos(turn) + dy * np.sin(turn)) / radii[0]
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / radii[1]
    return np.asarray((np.sqrt(u * u + v * v) - 1) * min(radii))


def _leaflet(hinge: tuple[float, float], length_mm: float, angle_deg: float) -> Field:
    """Return the distance (mm) to a valve leaflet that starts at its hinge."""
    x, y = _beams()
    angle = np.deg2rad(angle_deg)
    dx, dy = x - hinge[0], y - hinge[1]
    along = np.clip(dx * np.cos(angle) + dy * np.sin(angle), 0, length_mm)
    return np.asarray(np.hypot(dx - along * np.cos(angle), dy - along * np.sin(angle)))


def _inside(distance_mm: Field, edge_mm: float = 1.6) -> Field:
    return np.clip(0.5 - distance_mm / edge_mm, 0, 1)


def _brightness(phase: float) -> Field:
    """Return how strongly each point of the sector echoes, 0..1."""
    squeeze = _contraction(phase)
    x, y = _beams()
    pump, fill = 1 - 0.26 * squeeze, 0.82 + 0.22 * squeeze
    left = _cavity((16, 68 + 2 * squeeze), (19 * pump, 36 * (1 - 0.14 * squeeze)), 8)
    right = _cavity((-21, 73 + 2 * squeeze), (13 * pump, 31 * (1 - 0.12 * squeeze)), -14)
    atria = np.minimum(_cavity((24, 124), (20 * fill, 18 * fill), 0), _cavity((-20, 125), (18 * fill, 17 * fill), 0))
    heart = np.minimum(np.minimum(left - 9.5 - 2.5 * squeeze, right - 6), atria - 4)
    echo = 0.12 + 0.05 * np.sin(x / 9 + y / 13) * np.sin(x / 17 - y / 11) + 0.03 * np.sin(y / 7)
    echo += _inside(heart, 2) * 0.22
    echo += np.clip(1 - np.abs(heart) / 1.6, 0, 1) * 0.42
    for chamber in (left, right, atria):
        echo += np.clip(1 - np.abs(chamber) / 1.4, 0, 1) * 0.16
        echo *= 1 - 0.93 * _inside(chamber)
    # Open in diastole, shut in systole.
    gape = 58 * (1 - min(1.0, 2.4 * squeeze)) * (0.55 + 0.45 * float(np.cos(4 * np.pi * phase)) ** 2)
    plane_mm = 104.0 - 6 * squeeze
    for hinge, length, shut, way in (
        (4.0, 19.0, -8.0, -1),
        (40.0, 15.0, 188.0, 1),
        (-6.0, 14.0, 187.0, 1),
        (-36.0, 14.0, -6.0, -1),
    ):
        leaf = _leaflet((hinge, plane_mm), length, shut + way * gape)
        echo += np.clip(1.3 - leaf / 1.3, 0, 1) * 0.75
    echo += np.clip(1 - (y - 3) / 9, 0, 1) * 0.5
    return np.asarray(np.clip(echo, 0, 1))


def _frame(rows: int, columns: int, phase: float) -> NDArray[np.uint8]:
    """Return one frame, shape (rows, columns, 3)."""
    shift = round(9 * _contraction(phase))
    echo = _brightness(phase) * np.roll(_speckle(), shift, axis=0)
    loss = 1.15 - 0.35 * np.arange(_SAMPLES)[:, np.newaxis] / _SAMPLES
    # Logarithmic compression, by a root: cheap, and exact on every machine.
    grey = np.sqrt(np.clip(echo * loss - 0.035, 0, 1.4) / 1.4) * 250
    grey = 0.6 * grey + 0.4 * smooth(grey.astype(np.float32), 1)
    colour = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    _paint_flow(colour, phase)
    sample, line, covered = _sector(rows, columns)
    picture = np.where(covered[:, :, np.newaxis], colour[sample, line], 0)
    frame = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    _paint_bar(frame)
    _paint_trace(frame, phase)
    return frame


def _paint_flow(colour: Field, phase: float) -> None:
    """Paint blood that flows to the probe red and away from it blue, through the left side of the heart."""
    x, y = _beams()
    filling = float(np.interp(phase, (0, 0.06, 0.45, 0.55, 0.66, 0.8, 0.9, 1.0), (0.4, 0, 0, 0.6, 1, 0.35, 0.8, 0.4)))
    ejection = float(np.interp(phase, (0.04, 0.14, 0.3, 0.42), (0, 1, 0.8, 0)))
    texture = 0.75 + 0.25 * np.roll(_speckle(), round(40 * phase), axis=0)
    for speed, centre, radii, channels in (
        (filling, (22, 92), (10.5, 30), (1.0, 0.45, 0.1)),
        (ejection, (8, 84), (7.0, 22), (0.1, 0.4, 1.0)),
    ):
        if speed < 0.05:
            continue
        jet = np.clip(1 - ((x - centre[0]) / radii[0]) ** 2 - ((y - centre[1]) / radii[1]) ** 2, 0, 1) * speed
        shown = (jet * texture > 0.2) * 0.85
        for channel, part in enumerate(channels):
            colour[:, :, channel] += shown * ((90 + 165 * jet) * part * texture - colour[:, :, channel])


def _paint_bar(frame: NDArray[np.uint8]) -> None:
    """Paint the grey scale, the velocity scale and the depth marks that every machine shows."""
    rows, columns = frame.shape[:2]
    top, bottom = round(rows * 0.08), round(rows * 0.38)
    ramp = np.linspace(255, 0, bottom - top).astype(np.uint8)
    width = max(2, columns // 64)
    frame[top:bottom, width : 2 * width] = ramp[:, np.newaxis, np.newaxis]
    half = (bottom - top) // 2
    fade = np.linspace(255, 40, half).astype(np.uint8)[:, np.newaxis]
    right = slice(columns - 2 * width, columns - width)
    frame[top : top + half, right, 0] = fade
    frame[top + half : top + 2 * half, right, 2] = fade[::-1]
    for centimetre in range(0, 17, 2):
        row = round(rows * 0.06 + centimetre * 10 / pixel_mm(rows))
        if row < rows:
            frame[row, columns - 3 * width - width // 2 : columns - 2 * width - width // 2] = 180


def _paint_trace(frame: NDArray[np.uint8], phase: float) -> None:
    """Paint two beats of an electrocardiogram and where in them the frame lies."""
    rows, columns = frame.shape[:2]
    wave = (
        (0, 0),
        (0.10, 0),
        (0.14, 0.16),
        (0.18, 0),
        (0.22, -0.1),
        (0.25, 1),
        (0.28, -0.25),
        (0.31, 0),
        (0.46, 0),
        (0.54, 0.28),
        (0.62, 0),
        (1, 0),
    )
    beats = np.arange(columns) / columns * 2 % 1
    height = np.interp(beats, [point[0] for point in wave], [point[1] for point in wave])
    line = np.rint(rows * 0.965 - height * rows * 0.07).astype(int)
    before = np.roll(line, 1)
    before[0] = line[0]
    for column in range(columns):
        low, high = sorted((int(before[column]), int(line[column])))
        frame[low : high + 1, column] = (40, 220, 90)
    now = min(columns - 1, round((phase + 0.25) % 1 / 2 * columns))
    frame[round(rows * 0.88) : rows, now] = (230, 230, 60)
