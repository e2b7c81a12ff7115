"""Drawn greyscale phantoms that look like medical pictures. Nothing here is a real patient.

A `Scene` says what is in a picture, `draw_scene` draws it; `asks.questions` asks about it.

>>> scene = Scene("xray", (Finding("disc", "left", count=2, size="small"),))
>>> draw_scene(scene, 224, np.random.default_rng(0)).save("film.png")

Sides follow the radiological convention: the viewer faces the patient, so **image left is the patient's right**, in all
four looks. A side in a `Finding`, a question or an answer is always the patient's. Chest films carry an "R" at image
left, as a real film does. Every picture has a bright calibration bar at its lower right: small findings are smaller
across than the bar is long, large ones larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Modality: TypeAlias = Literal["xray", "ct", "mri", "us"]
Shape: TypeAlias = Literal["disc", "ring", "bar", "triangle"]
Side: TypeAlias = Literal["right", "left"]
Size: TypeAlias = Literal["small", "large", "huge"]
Plane: TypeAlias = NDArray[np.float64]

MODALITIES: Final[tuple[Modality, ...]] = ("xray", "ct", "mri", "us")
SHAPES: Final[tuple[Shape, ...]] = ("disc", "ring", "bar", "triangle")
SIDES: Final[tuple[Side, ...]] = ("right", "left")
SIZES: Final[tuple[Size, ...]] = ("small", "large")
"""What the demo asks about; `huge` marks are for pictures of few pixels."""

RADIUS: Final[dict[Size, float]] = {"small": 0.058, "large": 0.105, "huge": 0.15}
"""Half the extent of one mark, where the picture spans -1 to 1."""
CALIBRATION_LENGTH: Final = 0.16
"""Between the extents of a small (0.116) and a large (0.21) mark."""


@dataclass(frozen=True)
class Finding:
    """Equal marks in one organ of one side: two small rings in the left lung."""

    shape: Shape
    side: Side
    """The patient's side; the patient's right is drawn at image left."""
    count: int = 1
    """1 to 4 marks, never touching; of huge ones at most 3."""
    size: Size = "small"

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 4:
            raise ValueError(f"count is {self.count}, allowed are 1 to 4")
        if self.size == "huge" and self.count > 3:
            raise ValueError(f"count is {self.count}, allowed are 1 to 3 where marks are huge")


@dataclass(frozen=True)
class Scene:
    """What one picture shows: a look, nothing or one finding on each side, and the state of the middle organ."""

    modality: Modality
    findings: tuple[Finding, ...] = ()
    enlarged: bool = False
    """Heart (xray), lateral ventricles (ct), aorta (mri), gallbladder (us) are drawn wide."""

    def __post_init__(self) -> None:
        sides = [finding.side for finding in self.findings]
        if len(sides) != len(set(sides)):
            raise ValueError(f"findings are on {sides}, allowed is one finding a side")


# ---------------------------------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Canvas:
    """Coordinates from -1 (left, top) to 1 (right, bottom), and the width of one pixel."""

    x: Plane
    y: Plane
    pixel: float

    def of_one_body(self, rng: np.random.Generator) -> _Canvas:
        """The coordinates of a body that is not built, and does not lie, as the next one does."""
        turn = rng.uniform(-0.10, 0.10)
        wide, tall = rng.uniform(0.88, 1.08), rng.uniform(1.02, 1.12)
        right, down = rng.uniform(-0.05, 0.05, 2)
        x = (self.x * np.cos(turn) + self.y * np.sin(turn) - right) / wide
        y = (self.y * np.cos(turn) - self.x * np.sin(turn) - down) / tall
        bend = 0.022
        return _Canvas(x + bend * _noise(x.shape, rng, 4), y + bend * _noise(x.shape, rng, 4), self.pixel)

    def seen_at(self, body: _Canvas, x: float, y: float) -> tuple[float, float]:
        """Where in this picture a place of the body is."""
        at = np.unravel_index(np.argmin(np.hypot(body.x - x, body.y - y)), body.x.shape)
        return float(self.x[at]), float(self.y[at])


_FIELD: Final[dict[Modality, tuple[float, float, float, float]]] = {
    "xray": (0.42, -0.24, 0.09, 0.37),
    "ct": (0.39, 0.00, 0.07, 0.37),
    "mri": (0.45, -0.08, 0.07, 0.37),
    "us": (0.46, 0.24, 0.10, 0.37),
}
"""Where marks may lie: |x| and y of the centre, half width and half height."""

_MARK_LEVEL: Final[dict[Modality, float]] = {"xray": 0.88, "ct": 0.93, "mri": 0.95, "us": 0.97}


def _ellipse(canvas: _Canvas, cx: float, cy: float, rx: float, ry: float, soft: float = 0.04) -> Plane:
    """1 inside, 0 outside, with an edge as wide as `soft` of the radius."""
    reach = np.hypot((canvas.x - cx) / rx, (canvas.y - cy) / ry)
    return np.clip((1.0 - reach) / soft + 0.5, 0.0, 1.0)


def _edge(distance: Plane, width: float) -> Plane:
    """1 where a signed distance is negative, 0 where positive."""
    return np.clip(0.5 - distance / width, 0.0, 1.0)


def _blend(plane: Plane, mask: Plane, level: float) -> Plane:
    return plane * (1.0 - mask) + level * mask


def _noise(shape: tuple[int, ...], rng: np.random.Generator, cells: int) -> Plane:
    """Smooth noise around 0 with about `cells` blobs across, deviation near 1."""
    coarse = rng.standard_normal((cells + 2, cells + 2))
    rows = np.linspace(0.5, cells + 0.49, shape[0])
    columns = np.linspace(0.5, cells + 0.49, shape[1])
    r0, c0 = rows.astype(int), columns.astype(int)
    fr, fc = (rows - r0)[:, None], (columns - c0)[None, :]
    fr, fc = fr * fr * (3 - 2 * fr), fc * fc * (3 - 2 * fc)
    top = coarse[np.ix_(r0, c0)] * (1 - fc) + coarse[np.ix_(r0, c0 + 1)] * fc
    bottom = coarse[np.ix_(r0 + 1, c0)] * (1 - fc) + coarse[np.ix_(r0 + 1, c0 + 1)] * fc
    mixed: Plane = top * (1 - fr) + bottom * fr
    return mixed


def _chest_film(canvas: _Canvas, enlarged: bool, rng: np.random.Generator) -> Plane:
    x, y = canvas.x, canvas.y
    plane = np.full(x.shape, 0.06)
    plane = _blend(plane, _ellipse(canvas, 0, 0.35, 0.92, 1.25, 0.06), 0.56)
    lungs = np.maximum(_ellipse(canvas, -0.43, 0.0, 0.31, 0.70, 0.10), _ellipse(canvas, 0.43, 0.0, 0.31, 0.70, 0.10))
    plane = _blend(plane, lungs, 0.20)
    rib = np.zeros(x.shape)
    for step in range(8):
        arc = y - (-0.72 + 0.19 * step) - 0.42 * (np.abs(x) - 0.15) ** 2
        rib = np.maximum(rib, _edge(np.abs(arc) - 0.018, 0.03))
    plane = plane + 0.08 * rib * _ellipse(canvas, 0, 0.05, 0.82, 0.86, 0.05)
    clavicle = _edge(np.abs(y + 0.70 - 0.22 * np.abs(x)) - 0.022, 0.03) * (np.abs(x) > 0.10) * (np.abs(x) < 0.66)
    plane = plane + 0.13 * clavicle
    plane = _blend(plane, _edge(np.abs(x) - 0.115, 0.05), 0.66)
    vertebra = _edge(np.abs(x) - 0.06, 0.03) * (0.5 + 0.5 * np.cos(2 * np.pi * y / 0.19))
    plane = plane + 0.06 * vertebra
    heart_width = 0.47 if enlarged else 0.25
    plane = _blend(plane, _ellipse(canvas, 0.16, 0.42, heart_width, 0.26, 0.10), 0.72)
    dome = y - 0.62 - 0.55 * (np.abs(x) - 0.40) ** 2 + 0.05 * (x < 0)
    plane = _blend(plane, _edge(-dome, 0.04) * _ellipse(canvas, 0, 0.35, 0.92, 1.25, 0.06), 0.70)
    marker_x, marker_y = x + 0.86, y + 0.82  # the letter R at image left
    strokes = np.maximum(
        (np.abs(marker_x + 0.035) < 0.014) & (np.abs(marker_y) < 0.07),
        (np.abs(np.hypot(marker_x + 0.01, marker_y + 0.032) - 0.033) < 0.014) & (marker_x > -0.02),
    )
    leg: NDArray[np.bool_] = (np.abs(marker_x - 0.55 * marker_y + 0.012) < 0.016) & (marker_y > 0) & (marker_y < 0.07)
    plane[strokes | leg] = 0.95
    return plane + 0.012 * _noise(plane.shape, rng, 12) + 0.012 * rng.standard_normal(plane.shape)


def _head_ct(canvas: _Canvas, enlarged: bool, rng: np.random.Generator) -> Plane:
    plane = np.full(canvas.x.shape, 0.02)
    plane = _blend(plane, _ellipse(canvas, 0, 0, 0.76, 0.92, 0.03), 0.30)
    plane = _blend(plane, _ellipse(canvas, 0, 0, 0.72, 0.88, 0.03), 0.97)
    inside = _ellipse(canvas, 0, 0, 0.65, 0.81, 0.03)
    plane = _blend(plane, inside, 0.42)
    cortex = inside * (1.0 - _ellipse(canvas, 0, 0, 0.56, 0.72, 0.12))
    plane = plane + 0.05 * cortex * (1 + 0.6 * _noise(plane.shape, rng, 18))
    falx = _edge(np.abs(canvas.x) - 0.008, 0.02) * (np.abs(canvas.y) > 0.42) * inside
    plane = plane + 0.16 * falx
    width = 0.105 if enlarged else 0.042
    for sign in (-1.0, 1.0):
        bend = canvas.x - sign * (0.045 + width + 0.30 * np.abs(canvas.y) ** 1.7)
        horn = _edge(np.hypot(bend / width, canvas.y / 0.40) - 1.0, 0.30)
        plane = _blend(plane, horn * inside, 0.13)
    return plane + 0.018 * rng.standard_normal(plane.shape) * (plane > 0.05)


def _abdomen_mri(canvas: _Canvas, enlarged: bool, rng: np.random.Generator) -> Plane:
    plane = np.full(canvas.x.shape, 0.015)
    plane = _blend(plane, _ellipse(canvas, 0, 0, 0.95, 0.74, 0.03), 0.78)
    inside = _ellipse(canvas, 0, 0, 0.87, 0.66, 0.03)
    plane = _blend(plane, inside, 0.24)
    liver = _ellipse(canvas, -0.42, -0.08, 0.42, 0.46, 0.05) * inside
    plane = _blend(plane, liver, 0.46)
    plane = _blend(plane, _ellipse(canvas, 0.46, -0.06, 0.34, 0.44, 0.05) * inside, 0.55)  # spleen
    plane = _blend(plane, _ellipse(canvas, 0.02, -0.36, 0.20, 0.16, 0.08) * inside, 0.12)  # stomach
    plane = _blend(plane, _ellipse(canvas, 0, 0.36, 0.13, 0.13, 0.06), 0.66)  # vertebral body
    plane = _blend(plane, _ellipse(canvas, 0, 0.54, 0.055, 0.045, 0.2), 0.80)  # spinal canal
    wide = 0.115 if enlarged else 0.055
    plane = _blend(plane, _ellipse(canvas, 0.04 + wide, 0.18 - wide, wide, wide, 0.12), 0.04)  # aorta
    plane = _blend(plane, _ellipse(canvas, -0.09, 0.13, 0.055, 0.045, 0.15), 0.07)  # vena cava
    vessels = np.clip(_noise(plane.shape, rng, 22) - 1.1, 0, 1)
    plane = plane - 0.12 * vessels * liver
    bias = 1.0 + 0.10 * canvas.y
    return plane * bias + np.abs(0.02 * rng.standard_normal(plane.shape))


def _ultrasound(canvas: _Canvas, enlarged: bool, rng: np.random.Generator) -> Plane:
    plane = np.full(canvas.x.shape, 0.30) + 0.05 * _noise(canvas.x.shape, rng, 7)
    plane = plane + 0.16 * _edge(np.abs(np.hypot(canvas.x, canvas.y + 1.3) - 0.62) - 0.02, 0.03)  # body wall
    wide, tall = (0.21, 0.36) if enlarged else (0.11, 0.19)
    plane = _blend(plane, _ellipse(canvas, 0, 0.16, wide + 0.03, tall + 0.03, 0.10), 0.62)
    return _blend(plane, _ellipse(canvas, 0, 0.16, wide, tall, 0.10), 0.02)  # gallbladder


def _fan(canvas: _Canvas, plane: Plane, rng: np.random.Generator) -> Plane:
    """Speckle, depth attenuation and the sector's black surround, over organs and findings alike."""
    speckle = np.hypot(rng.standard_normal(plane.shape), rng.standard_normal(plane.shape))
    speckle = (speckle + np.roll(speckle, 1, axis=1) + 0.5 * np.roll(speckle, 1, axis=0)) / 3.1
    depth = np.hypot(canvas.x, canvas.y + 1.3)
    angle = np.abs(np.arctan2(canvas.x, canvas.y + 1.3))
    sector = _edge(angle - 0.70, 0.01) * _edge(depth - 2.15, 0.02) * _edge(0.42 - depth, 0.02)
    lit: Plane = plane * (0.45 + 0.55 * speckle) * (1.12 - 0.16 * depth) * sector
    return lit


def _mark(canvas: _Canvas, shape: Shape, cx: float, cy: float, radius: float, turn: float) -> Plane:
    """One finding's mark as a mask; `turn` in radians matters for bars and triangles."""
    dx, dy = canvas.x - cx, canvas.y - cy
    soft = 1.5 * canvas.pixel
    if shape == "disc":
        return _edge(np.hypot(dx, dy) - radius, soft)
    if shape == "ring":
        return _edge(np.abs(np.hypot(dx, dy) - 0.80 * radius) - 0.20 * radius, soft)
    if shape == "bar":
        along = dx * np.cos(turn) + dy * np.sin(turn)
        across = dy * np.cos(turn) - dx * np.sin(turn)
        return _edge(np.maximum(np.abs(along) - radius, np.abs(across) - 0.26 * radius), soft)
    corners = [turn + 2 * np.pi * k / 3 for k in range(3)]
    walls = [dx * np.cos(a) + dy * np.sin(a) - 0.56 * radius for a in corners]
    return _edge(np.maximum(np.maximum(walls[0], walls[1]), walls[2]), soft)


def _places(modality: Modality, finding: Finding, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Centres of a finding's marks from top to bottom, far enough apart in height that marks never touch."""
    cx, cy, rx, ry = _FIELD[modality]
    gap = 2.3 * RADIUS[finding.size]
    spare = 2 * ry - gap * (finding.count - 1)
    drops = np.sort(rng.uniform(0.0, spare, finding.count)) + gap * np.arange(finding.count)
    sideways = rng.uniform(-rx, rx, finding.count)
    sign = -1.0 if finding.side == "right" else 1.0
    return [(float(sign * cx + dx), float(cy - ry + dy)) for dx, dy in zip(sideways, drops, strict=True)]


def draw_scene(scene: Scene, size: int, rng: np.random.Generator) -> Image.Image:
    """The scene as a square `L` picture of `size` pixels a side. Image left is the patient's right.

    The same scene, size and generator state give the same pixels. `rng` gives every picture a body of its own, moves
    the marks within their organ and draws the noise; it never changes what `questions` would answer.
    """
    axis = (np.arange(size) + 0.5) * 2.0 / size - 1.0
    canvas = _Canvas(x=np.tile(axis, (size, 1)), y=np.tile(axis[:, None], (1, size)), pixel=2.0 / size)
    organs = {"xray": _chest_film, "ct": _head_ct, "mri": _abdomen_mri, "us": _ultrasound}
    body = canvas.of_one_body(rng)
    plane = organs[scene.modality](body, scene.enlarged, rng)
    for finding in scene.findings:
        for place in _places(scene.modality, finding, rng):
            cx, cy = canvas.seen_at(body, *place)
            turn = float(rng.uniform(-0.5, 0.5)) + (np.pi / 2 if finding.shape == "triangle" else 0.0)
            mask = _mark(canvas, finding.shape, cx, cy, RADIUS[finding.size], turn)
            plane = _blend(plane, mask, _MARK_LEVEL[scene.modality])
    if scene.modality == "us":
        plane = _fan(canvas, plane, rng)
    calibration = (np.abs(canvas.x - 0.93) < 0.012) & (np.abs(canvas.y - 0.86) < CALIBRATION_LENGTH / 2)
    plane[calibration] = 1.0
    return Image.fromarray(np.round(np.clip(plane, 0.0, 1.0) * 255).astype(np.uint8))


# ---------------------------------------------------------------------------------------------------------------------
# Scenes
# ---------------------------------------------------------------------------------------------------------------------


def random_scene(rng: np.random.Generator, modality: Modality | None = None) -> Scene:
    """A scene at random: a fifth without findings, a fifth with findings on both sides."""
    look = modality or MODALITIES[int(rng.integers(4))]
    sides: tuple[Side, ...] = SIDES if rng.random() < 0.2 else (SIDES[int(rng.integers(2))],)
    if rng.random() < 0.2:
        sides = ()
    findings = tuple(
        Finding(SHAPES[int(rng.integers(4))], side, int(rng.integers(1, 5)), SIZES[int(rng.integers(2))])
        for side in sides
    )
    if len(findings) == 2 and findings[0].count == findings[1].count:  # let "which side has more" have an answer
        first = findings[0]
        findings = (Finding(first.shape, first.side, first.count % 4 + 1, first.size), findings[1])
    return Scene(look, findings, bool(rng.random() < 0.3))
