"""The wall and the skeleton of the body phantom: skin, muscle, ribs, shoulders, arms, spine.

Heights are in mm above the level of the tenth thoracic vertebra, about the top of the left diaphragm.
"""

from dataclasses import dataclass

import numpy as np

from sample_dicom.noise import Floats
from sample_dicom.plane import Ellipsoid, Part, Plane, Tube

_HEIGHTS = (-180, -120, -60, 0, 60, 110, 145, 165, 185, 200, 240)
_TRUNK = {
    "skin_a": (158, 156, 160, 164, 168, 176, 192, 196, 150, 70, 58),
    "skin_b": (112, 113, 115, 116, 116, 110, 102, 94, 80, 66, 60),
    "fat": (19, 17, 14, 12, 11, 11, 11, 10, 9, 6, 6),
    "cavity_a": (126, 130, 134, 133, 128, 116, 97, 78, 44, 34, 30),
    "cavity_b": (88, 90, 92, 92, 88, 80, 70, 60, 48, 36, 34),
}
VERTEBRA_MM = 24.0
"""From one vertebra to the next, and so from one rib to the next."""
_FIRST_RIB_MM = 180.0
_CAVITY_Y = -10.0

_RIB_DROP_MM = (26, 40, 52, 60, 66, 70, 72, 72, 70, 64, 50, 40)
"""How much lower a rib ends in front than at the spine."""
_RIB_END = (-0.8, -0.9, -0.9, -0.9, -0.9, -0.9, -0.88, -0.8, -0.66, -0.5, 0.1, 0.5)
"""Where a rib or its cartilage ends: cosine of the angle from the back."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """Signed radial distances (mm, inside negative) of the trunk's surfaces in one plane."""

    skin: Floats
    muscle: Floats
    cavity: Floats
    facing: Floats
    """+1 towards the back, -1 towards the front."""


def _radial(plane: Plane, centre_y: float, a: float, b: float) -> tuple[Floats, Floats]:
    """Return the radial distance to a rounded box and the cosine of the direction from the back."""
    dx, dy = plane.x, plane.y - np.float32(centre_y)
    u, v = dx / np.float32(a), dy / np.float32(b)
    uu, vv = u * u, v * v
    r = np.maximum(np.sqrt(np.sqrt(uu * uu + vv * vv + np.float32(1.1) * uu * vv)), np.float32(1e-3))
    rho = np.sqrt(dx * dx + dy * dy)
    return rho * (1 - 1 / r), v / np.maximum(np.sqrt(uu + vv), np.float32(1e-3))


def trunk_at(plane: Plane) -> Trunk:
    """Return the trunk's surfaces at the plane's height."""
    at = {name: float(np.interp(plane.z_mm, _HEIGHTS, values)) for name, values in _TRUNK.items()}
    skin, _ = _radial(plane, 0.0, at["skin_a"], at["skin_b"])
    muscle, _ = _radial(plane, 2.0, at["skin_a"] - at["fat"], at["skin_b"] - 0.8 * at["fat"])
    cavity, facing = _radial(plane, _CAVITY_Y, at["cavity_a"], at["cavity_b"])
    return Trunk(skin, muscle, cavity, facing)


def paint_wall(plane: Plane, trunk: Trunk) -> None:
    """Paint skin, fat, muscle with its fat planes, and the fat that fills the cavity."""
    whole = plane.everything
    plane.cover(whole, plane.soft(trunk.skin), 25)
    plane.cover(whole, plane.soft(trunk.skin + np.float32(2.2)), -102)
    muscle = plane.soft(trunk.muscle)
    plane.cover(whole, muscle, 56)
    for part in _ARMPITS:
        plane.paint(part, muscle)
    # Fat planes between the layers of the chest wall make it look layered, as it is.
    for depth, width in ((9.0, 1.1), (17.0, 0.9)):
        layer = plane.soft(np.abs(trunk.cavity - np.float32(depth)) - np.float32(width))
        plane.cover(whole, 0.75 * layer * muscle, -70)
    for sign in (-1, 1):
        plane.paint(Part(Ellipsoid((sign * 30, 84, 0), (25, 19, 400)), -60), muscle)
        plane.paint(Part(Ellipsoid((sign * 30, 84, 0), (23, 17, 400)), 58), muscle)
    plane.cover(whole, plane.soft(trunk.cavity), -98)


def paint_ribs(plane: Plane, trunk: Trunk) -> None:
    """Paint the ribs: bands that run down and forward in the wall, cartilage in front."""
    rows, columns = np.nonzero(np.abs(trunk.cavity - 5) < 8)
    depth = (trunk.cavity[rows, columns] - 5) / np.float32(3.9)
    facing = trunk.facing[rows, columns]
    bone = np.zeros_like(facing)
    marrow, cartilage = bone.copy(), bone.copy()
    for index, (drop, end) in enumerate(zip(_RIB_DROP_MM, _RIB_END, strict=True)):
        top = _FIRST_RIB_MM - VERTEBRA_MM * index
        if not top - drop - 9 < plane.z_mm < top + 9:
            continue
        fall = (plane.z_mm - top + drop * np.sqrt((1 - facing) / 2)) / np.float32(6.6)
        size = np.sqrt(depth * depth + fall * fall)
        inside = np.clip((1 - size) * 2.5 + 0.5, 0, 1) * np.clip((facing - end) * 25, 0, 1)
        gristle = np.clip((-0.6 - facing) * 12, 0, 1)
        cartilage = np.maximum(cartilage, inside * gristle)
        bone = np.maximum(bone, inside * (1 - gristle))
        marrow = np.maximum(marrow, np.clip((0.55 - size) * 3, 0, 1) * (1 - gristle))
    hu = plane.hu[rows, columns]
    hu += cartilage * (105 - hu)
    hu += bone * (640 - hu)
    hu += marrow * bone * (260 - hu)
    plane.hu[rows, columns] = hu


def _hollow(shape: Ellipsoid, shell_mm: float, cortex: float = 700, marrow: float = 240) -> tuple[Part, Part]:
    """Return a bone: a cortex and the spongy bone inside it."""
    a, b, c = (radius - shell_mm for radius in shape.radii)
    return Part(shape, cortex), Part(Ellipsoid(shape.centre, (a, b, c), shape.turn_deg), marrow)


def _side(sign: int) -> tuple[Part, ...]:
    """Return the shoulder blade, collar bone and head of the upper arm of one side."""
    turn = sign * 62.0
    return (
        Part(
            Tube(
                ((sign * 14, -62, 150), (sign * 70, -58, 166), (sign * 120, -22, 182), (sign * 150, 5, 182)), (7,) * 4
            ),
            560,
        ),
        Part(
            Tube(
                ((sign * 14, -62, 150), (sign * 70, -58, 166), (sign * 120, -22, 182), (sign * 150, 5, 182)), (4,) * 4
            ),
            260,
        ),
        Part(Ellipsoid((sign * 112, 66, 110), (46, 4.5, 66), -turn / 1.6), 420),
        Part(Tube(((sign * 84, 84, 128), (sign * 122, 66, 156), (sign * 156, 22, 178)), (4, 6, 8)), 480),
        *_hollow(Ellipsoid((sign * 168, 4, 152), (23, 23, 25)), 3.0, 620, 190),
    )


_SHOULDERS = (*_side(-1), *_side(1))
_ARMPITS = tuple(
    Part(Ellipsoid((sign * x, y, z), radii, sign * turn), hu)
    for sign in (-1, 1)
    for x, y, z, radii, turn, hu in (
        (138, 0, 122, (17, 30, 40), 20, -88),
        (132, 2, 126, (4, 5, 60), 0, 120),
        (120, -58, 120, (44, 2.2, 50), 24, -70),
        (126, 50, 110, (40, 2.4, 60), -34, -70),
        (146, 78, 120, (36, 2.2, 60), -34, -70),
    )
)
"""Fat and vessels of the armpit and the fat between the muscles of the shoulder."""
_ARMS = tuple(
    Part(Tube(((sign * 178, 4, 146), (sign * 205, 2, 40), (sign * 218, 0, -190)), radii), hu)
    for radii, hu in (((34, 42, 38), 20), ((32, 40, 36), -95), ((29, 34, 31), 56))
    for sign in (-1, 1)
)
_ARM_BONES = tuple(
    Part(Tube(((sign * 172, 4, 150), (sign * 198, 2, 40), (sign * 214, 0, -190)), radii), hu)
    for radii, hu in (((13, 11, 11), 900), ((8, 6, 6), 60))
    for sign in (-1, 1)
)
_STERNUM = (
    *_hollow(Ellipsoid((0, -93, 70), (17, 6.5, 62)), 2.0, 480, 170),
    *_hollow(Ellipsoid((0, -78, 138), (27, 7.5, 24)), 2.0, 480, 170),
)


def paint_arms(plane: Plane) -> None:
    """Paint hanging arms, which only a standing patient has beside the trunk."""
    for part in (*_ARMS, *_ARM_BONES):
        plane.paint(part)


def paint_skeleton(plane: Plane) -> None:
    """Paint shoulders, breast bone and the vertebra or disc of this height."""
    for part in (*_SHOULDERS, *_STERNUM, *_vertebra(plane.z_mm)):
        plane.paint(part)


def _vertebra(z_mm: float) -> tuple[Part, ...]:
    """Return the parts of the spine at one height; they are upright, so their height does not matter."""
    step = (z_mm - _FIRST_RIB_MM) / VERTEBRA_MM
    phase = abs(step - round(step)) * 2  # 0 in the middle of a vertebra, 1 in the middle of a disc
    size = float(np.interp(z_mm, (-180, 0, 180, 240), (1.3, 1.1, 0.85, 0.7)))
    tall = 1000.0
    body = Ellipsoid((0, 50, z_mm), (16.5 * size, 13 * size, tall))
    if phase > 0.8:
        trunk_of_spine: tuple[Part, ...] = (Part(body, 85),)
    elif phase > 0.66:
        trunk_of_spine = (Part(body, 560),)
    else:
        trunk_of_spine = _hollow(body, 1.6, 520, 205)
    back = 50 + 13 * size
    arch = Ellipsoid((0, back + 8, z_mm), (15, 13.5, tall))
    canal = (
        Part(Ellipsoid((0, back + 7, z_mm), (9, 8, tall)), 12),
        Part(Ellipsoid((0, back + 7, z_mm), (5.5, 4.5, tall)), 42),
    )
    if phase > 0.75:
        joints = tuple(
            part for s in (-1, 1) for part in _hollow(Ellipsoid((s * 15, back + 12, z_mm), (6, 7, tall)), 1.8, 600, 320)
        )
        return (*trunk_of_spine, *joints, Part(Ellipsoid((0, back + 16, z_mm), (9, 3, tall), 0), 60), *canal)
    wings = tuple(
        part
        for s in (-1, 1)
        if phase < 0.5
        for part in _hollow(Ellipsoid((s * 27, back + 13, z_mm), (16, 5, tall), s * 24), 1.5, 520, 250)
    )
    spinous = _hollow(Ellipsoid((0, back + 30 + 3 * phase, z_mm), (3.6, 13, tall)), 1.3, 620, 330)
    return (*wings, *spinous, *_hollow(arch, 2.0, 620, 340), *trunk_of_spine, *canal)
