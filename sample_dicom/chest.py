"""The inside of the chest of the body phantom: diaphragm, lungs, heart, great vessels and airways."""

import numpy as np

from sample_dicom.noise import Floats
from sample_dicom.plane import Ellipsoid, Organ, Part, Plane, Tube
from sample_dicom.trunk import Trunk
from sample_dicom.vessels import Tree, cut_by


def diaphragm_mm(plane: Plane) -> Floats:
    """Return the height of the diaphragm over each pixel: two domes, steep at the back, and the central tendon."""
    x, y = plane.x, plane.y
    behind = np.maximum(y + 18, 0) / np.float32(62)
    before = np.minimum(y + 18, 0) / np.float32(80)
    along = behind * behind * 58 + before * before * 26
    domes = []
    for centre, top in ((-70, 18), (72, 6)):
        u = (x - centre) / np.float32(62)
        domes.append(top - 34 * u * u - along)
    u, v = x / np.float32(45), (y + 40) / np.float32(60)
    domes.append(-4 - 14 * u * u - 20 * v * v)
    return np.maximum(np.maximum(domes[0], domes[1]), domes[2]).astype(np.float32)


_LUNG_TREES = (
    Tree(
        11,
        (-34, -2, 84),
        (
            (-80, -52, 150),
            (-70, 40, 150),
            (-120, -20, 92),
            (-105, 48, 84),
            (-72, -62, 60),
            (-95, 50, 10),
            (-70, 62, 20),
            (-100, 5, 30),
        ),
        6.2,
    ),
    Tree(
        12,
        (38, 2, 88),
        (
            (80, -50, 150),
            (70, 40, 150),
            (118, -15, 96),
            (108, 48, 84),
            (88, -62, 50),
            (98, 50, 5),
            (74, 60, 14),
            (108, 8, 28),
        ),
        6.0,
    ),
)
NODULE = Part(Ellipsoid((-74.0, -28.0, 118.0), (7.2, 6.8, 7.0)), 38, Organ.LUNG)
"""The finding of the report: a nodule of 14 mm in the right upper lobe."""


def paint_lungs(plane: Plane, trunk: Trunk) -> None:
    """Paint the lungs with their vessels, then the mediastinum's fat between them."""
    above = np.clip((plane.z_mm - diaphragm_mm(plane)) / np.float32(2.0) + 0.5, 0, 1)
    inside = plane.soft(trunk.cavity + np.float32(1.6)) * above
    if plane.z_mm > 176:
        inside = inside * np.float32(max(0.0, 1 - (plane.z_mm - 176) / 8))
    # The lung that lies lowest is denser: about 40 HU from front to back in a lying patient.
    hu = -872 + (plane.y + 80) * np.float32(0.28) + 12 * np.sin((plane.x * 0.11 + plane.y * 0.07).astype(np.float64))
    plane.cover(plane.everything, inside, hu.astype(np.float32), Organ.LUNG)
    for tree in _LUNG_TREES:
        for vessel in cut_by(tree, plane.z_mm):
            plane.paint(Part(vessel, 45, Organ.LUNG), inside)
    plane.paint(NODULE, inside)
    wide = float(np.interp(plane.z_mm, (-40, 40, 90, 125, 165), (22, 24, 30, 25, 31)))
    cavity = plane.soft(trunk.cavity)
    for middle in (
        Ellipsoid((2, -6, 60), (wide, 56, 1000)),
        Ellipsoid((2, -70, 60), (11, 40, 1000)),
        Ellipsoid((0, 58, 60), (22, 26, 1000)),
    ):
        plane.paint(Part(middle, -84), cavity)


_BLOOD, _VENOUS, _MUSCLE = 172.0, 150.0, 104.0
_ARCH = ((-4, -27, 70), (-9, -30, 90), (-6, -24, 106), (2, -8, 116), (12, 12, 117), (20, 28, 108), (22, 35, 92))
_HEART = (
    Part(Ellipsoid((24, -36, 34), (64, 52, 53), 28), -88),
    Part(Ellipsoid((25, -37, 34), (60, 48, 49), 28), _MUSCLE, Organ.HEART),
    Part(Ellipsoid((-24, -32, 42), (21, 27, 32), 10), _VENOUS, Organ.HEART),
    Part(Ellipsoid((10, -62, 34), (34, 16, 36), 28), _VENOUS, Organ.HEART),
    Part(Ellipsoid((47, -34, 26), (27, 18, 34), 42), _BLOOD, Organ.HEART),
    Part(Ellipsoid((8, -5, 55), (32, 17, 25), 6), _BLOOD, Organ.HEART),
    Part(Tube(((8, -18, 52), (-4, -27, 74)), (12, 13)), _BLOOD, Organ.HEART),
)
_VESSELS = (
    Part(Tube(((20, -46, 60), (20, -40, 76), (16, -22, 92)), (14, 14, 13)), _VENOUS),
    Part(Tube(((16, -22, 92), (-8, -8, 88), (-42, -2, 84)), (12, 11, 8)), _VENOUS),
    Part(Tube(((16, -22, 92), (38, 2, 92), (46, 8, 84)), (12, 10, 8)), _VENOUS),
    Part(Tube(((-24, -26, 150), (-27, -22, 110), (-26, -22, 60)), (8.5, 9.5, 10)), 190),
    Part(Tube(((-24, -30, 150), (30, -42, 158), (56, -40, 170)), (8, 7, 7)), 165),
    Part(Tube(_ARCH, (15, 15, 14.5, 13.5, 13, 12.5, 12)), _BLOOD, Organ.AORTA),
    Part(Tube(((22, 35, 92), (20, 34, 20), (8, 27, -60), (5, 24, -190)), (12, 11.5, 10, 9)), _BLOOD, Organ.AORTA),
    Part(Tube(((-4, -14, 112), (-16, -12, 150), (-34, -8, 210)), (6.5, 5.5, 4)), _BLOOD),
    Part(Tube(((4, -4, 115), (10, -2, 150), (24, 0, 210)), (4.5, 4, 3.5)), _BLOOD),
    Part(Tube(((12, 10, 116), (24, 8, 150), (60, 2, 172)), (5, 5, 4.5)), _BLOOD),
    Part(Tube(((-25, -12, 30), (-22, -2, 8), (-17, 18, -60), (-15, 22, -190)), (12, 13, 11.5, 10.5)), 138),
)
_AIRWAYS = (
    ((0, -6, 240), (0, 2, 180), (2, 10, 130), (0, 14, 100)),
    ((0, 14, 100), (-18, 12, 86), (-36, 10, 72), (-52, 14, 56)),
    ((0, 14, 100), (22, 14, 84), (40, 14, 72), (56, 18, 52)),
)
_BORES = ((8.5, 8.5, 8.5, 8.5), (7, 6.5, 5, 3), (6.5, 6, 4.6, 3))


def paint_mediastinum(plane: Plane) -> None:
    """Paint heart, great vessels, gullet and airways."""
    for part in (*_HEART, *_VESSELS):
        plane.paint(part)
    gullet = ((6, 24, 240), (8, 27, 120), (6, 26, 60), (16, 6, -6))
    plane.paint(Part(Tube(gullet, (7, 7, 7, 8)), 46))
    plane.paint(Part(Tube(gullet, (1.8, 1.6, 1.6, 1.6)), -500))
    for path, bores in zip(_AIRWAYS, _BORES, strict=True):
        plane.paint(Part(Tube(path, tuple(bore + 1.7 for bore in bores)), 35))
    for path, bores in zip(_AIRWAYS, _BORES, strict=True):
        plane.paint(Part(Tube(path, bores), -1000))
