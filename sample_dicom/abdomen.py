"""The upper abdomen of the body phantom: liver, spleen, stomach, kidneys, bowel, in the portal venous phase."""

import numpy as np

from sample_dicom.chest import diaphragm_mm
from sample_dicom.noise import Floats, uniforms
from sample_dicom.plane import Ellipsoid, Organ, Part, Plane, Tube
from sample_dicom.trunk import Trunk
from sample_dicom.vessels import Tree, cut_by

_LIVER = (
    Ellipsoid((-66, -2, -48), (72, 80, 92), 8),
    Ellipsoid((-22, -44, -28), (62, 44, 52), -12),
    Ellipsoid((24, -54, -16), (42, 26, 34), -14),
)
_LIVER_TREES = (
    Tree(
        21,
        (-28, -12, -52),
        ((-100, -10, -20), (-96, 30, -60), (-80, -40, -70), (0, -56, -24), (-70, 10, -110), (-30, -62, -46)),
        6.4,
        3,
    ),
    Tree(22, (-20, 4, 0), ((-100, 20, -50), (-70, -36, -40), (10, -44, -30)), 5.6, 3),
)
_GALLBLADDER = (
    Part(Ellipsoid((-48, -52, -92), (19, 23, 30), 20), 45),
    Part(Ellipsoid((-48, -52, -92), (17, 21, 28), 20), 8),
)
_SPLEEN = Ellipsoid((100, 40, -30), (26, 44, 52), 28)
_STOMACH = Ellipsoid((62, -26, -34), (45, 42, 50), 30)
_STOMACH_AIR_Y = -36.0
_PANCREAS = Tube(((-28, -16, -92), (-6, -18, -78), (24, -10, -68), (60, 12, -52), (84, 26, -44)), (14, 11, 10.5, 10, 8))
_PORTAL = Tube(((70, 20, -50), (20, -4, -66), (-8, -8, -66), (-28, -12, -52)), (5, 6, 7, 7.5))
_COLON = (
    ((-104, 8, -180), (-106, 4, -120), (-100, -20, -106), (-70, -62, -112), (-10, -80, -128)),
    ((-10, -80, -128), (50, -74, -116), (98, -34, -66), (116, 0, -58), (116, 24, -100), (112, 22, -190)),
)


def paint_abdomen(plane: Plane, trunk: Trunk) -> None:
    """Paint all that lies below the diaphragm, and the diaphragm."""
    if plane.z_mm > 26:
        return
    height = diaphragm_mm(plane) - np.float32(plane.z_mm)
    cavity = plane.soft(trunk.cavity + 2)
    below = _share(height, 2) * cavity
    plane.cover(plane.everything, below, -98)
    organs = _share(height - 3, 2) * plane.soft(trunk.cavity + 4)
    _paint_bowel(plane, organs)
    plane.paint(Part(_SPLEEN, 118), organs)
    _paint_stomach(plane, organs)
    _paint_liver(plane, organs)
    _paint_retroperitoneum(plane, below)
    plane.paint(Part(_PANCREAS, 84), organs)
    plane.paint(Part(_PORTAL, 162), organs)
    plane.cover(plane.everything, _share(1 - np.abs(height - 1.5), 2) * cavity, 52)


def _share(depth_mm: Floats, edge_mm: float) -> Floats:
    """Return how much of each pixel lies below a surface, 0..1, from the depth below it."""
    share: Floats = np.clip(depth_mm / np.float32(edge_mm) + np.float32(0.5), 0, 1)
    return share


def _paint_liver(plane: Plane, organs: Floats) -> None:
    """Paint the liver, its veins and the gallbladder."""
    for lobe in _LIVER:
        plane.paint(Part(lobe, 104, Organ.LIVER), organs)
    lobes = organs * (plane.organ == Organ.LIVER)
    for tree, hu in zip(_LIVER_TREES, (158, 148), strict=True):
        for vessel in cut_by(tree, plane.z_mm):
            plane.paint(Part(vessel, hu, Organ.LIVER), lobes)
    plane.paint(Part(Ellipsoid((-96, 14, -64), (8, 8, 8)), 4, Organ.LIVER), lobes)
    for part in _GALLBLADDER:
        plane.paint(part, organs)


def _paint_stomach(plane: Plane, organs: Floats) -> None:
    """Paint the stomach: wall, water, and the air that lies on it in a lying patient."""
    plane.paint(Part(_STOMACH, 78), organs)
    a, b, c = (radius - 4.5 for radius in _STOMACH.radii)
    hollow = Ellipsoid(_STOMACH.centre, (a, b, c), _STOMACH.turn_deg)
    plane.paint(Part(hollow, 4), organs)
    rows = plane.soft(plane.y - np.float32(_STOMACH_AIR_Y))
    plane.paint(Part(hollow, -1000), organs * rows)


def _paint_retroperitoneum(plane: Plane, below: Floats) -> None:
    """Paint kidneys with cortex and pelvis, adrenal glands, psoas and the pillars of the diaphragm."""
    for sign, drop in ((-1, 14.0), (1, 0.0)):
        x, z = sign * 58.0, -104.0 - drop
        plane.paint(Part(Ellipsoid((x, 48, z), (34, 29, 60), -sign * 28), -96), below)
        plane.paint(Part(Ellipsoid((x, 46, z), (29, 25, 54), -sign * 28), 172), below)
        for index in range(7):
            angle = 0.9 * index
            centre = (x + 17 * float(np.cos(angle)), 46 + 13 * float(np.sin(angle)), z)
            plane.paint(Part(Ellipsoid(centre, (6, 6, 44)), 118), below)
        plane.paint(Part(Ellipsoid((x - sign * 8, 40, z), (15, 8, 30), -sign * 28), -60), below)
        plane.paint(Part(Tube(((x - sign * 8, 40, z), (sign * 8.0, 27, z + 8)), (4.5, 5)), 150), below)
        plane.paint(
            Part(Tube(((sign * 36, 30, -50), (sign * 44, 40, -62), (sign * 50, 52, -66)), (3, 3, 2)), 70), below
        )
        plane.paint(
            Part(Tube(((sign * 24, 52, -70), (sign * 34, 54, -130), (sign * 42, 48, -190)), (4, 16, 22)), 60), below
        )
        plane.paint(
            Part(Tube(((sign * 14, 22, -20), (sign * 16, 30, -60), (sign * 14, 36, -110)), (5, 6, 3)), 58), below
        )


def _paint_bowel(plane: Plane, organs: Floats) -> None:
    """Paint the colon with gas and stool, and loops of the small bowel."""
    draws = iter(uniforms(31, 96 * 6))
    for _ in range(96):
        x, y, z = -50 + 150 * next(draws), -76 + 74 * next(draws), -190 + 122 * next(draws)
        turn, a = 180 * next(draws), 9 + 6 * next(draws)
        plane.paint(Part(Ellipsoid((x, y, z), (a * 1.5, a, a), turn), 92), organs)
        plane.paint(Part(Ellipsoid((x, y, z), (a * 1.5 - 3, a - 3, a - 3), turn), 14 + 30 * next(draws)), organs)
    # Haustra: the colon is wider and narrower every few centimetres.
    width = 17 + 3.0 * float(np.sin(plane.z_mm / 6.5))
    for path in _COLON:
        plane.paint(Part(Tube(path, (width,) * len(path)), 60), organs)
    for path in _COLON:
        plane.paint(Part(Tube(path, (width - 2.6,) * len(path)), -60), organs)
        lifted = tuple((x, y - 4, z) for x, y, z in path)
        plane.paint(Part(Tube(lifted, (width - 7.5,) * len(path)), -960), organs)
