"""Colours of high dynamic range and wide gamut, brought to a standard display (BT.709)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

PQ, HLG = 16, 18
"""Numbers of the transfer functions of high dynamic range (ITU-T H.273): SMPTE ST 2084 and ARIB STD-B67."""

TRANSFERS = frozenset({PQ, HLG})

WHITE = 203.0
"""cd/m² of diffuse white in high dynamic range (ITU-R BT.2408)."""

HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
"""cd/m² of the reference display, and its system gamma (ITU-R BT.2100)."""

GAMMA = 2.4
"""Exponent of a standard display (ITU-R BT.1886)."""

KNEE = 0.8
"""Linear light from which brighter colours are compressed (our choice)."""

D65 = (0.3127, 0.3290)

DCI_WHITE = (0.314, 0.351)

BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)

PRIMARIES = {
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), DCI_WHITE),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
}
"""Chromaticities of red, green, blue and white by number of the primaries (ITU-T H.273): BT.2020, P3-DCI and P3-D65."""


def to_srgb(colours: Floats, primaries: int, transfer: int) -> Floats:
    """Colours as a standard display shows them; diffuse white stays white, brighter colours are compressed.

    Args:
        colours: Red, green and blue as coded, 0 to 1, shape (…, 3).
        primaries: Number of their primaries; unknown ones are BT.709.
        transfer: Number of their transfer function; unknown ones are a standard display's.

    Returns:
        The same shape, 0 to 1.
    """
    light = _light(colours, transfer) @ _to_bt709(primaries).T
    if transfer in TRANSFERS:
        light = _compressed(light)
    shown: Floats = np.clip(light, 0.0, 1.0) ** np.float32(1 / GAMMA)
    return shown


def _light(colours: Floats, transfer: int) -> Floats:
    """Linear light, 1.0 for diffuse white."""
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        power = colours ** np.float32(1 / m2)
        light: Floats = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** np.float32(1 / m1) * np.float32(
            10_000 / WHITE
        )
        return light
    if transfer == HLG:  # ITU-R BT.2100, table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(colours <= 0.5, colours**2 / 3, (np.exp((colours - c) / a) + b) / 12).astype(np.float32)  # noqa: PLR2004
        luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        return scene * luminance[..., None] ** np.float32(HLG_GAMMA - 1) * np.float32(HLG_PEAK / WHITE)
    return colours ** np.float32(GAMMA)


def _compressed(light: Floats) -> Floats:
    """Light up to `KNEE` as it is, and brighter light below 1.0; the colour of a pixel stays."""
    peak = np.maximum(light.max(axis=-1, keepdims=True), np.float32(1e-6))
    below = KNEE + (1 - KNEE) * (1 - np.exp(-(np.maximum(peak, KNEE) - KNEE) / (1 - KNEE)))
    return light * np.where(peak > KNEE, below / peak, 1).astype(np.float32)


def _to_bt709(primaries: int) -> Floats:
    """The matrix from linear colours of these primaries to BT.709's, shape (3, 3)."""
    return (np.linalg.inv(_to_xyz(*BT709)) @ _to_xyz(*PRIMARIES.get(primaries, BT709))).astype(np.float32)


def _to_xyz(*chromaticities: tuple[float, float]) -> npt.NDArray[np.float64]:
    """The matrix from linear colours to CIE XYZ, from the chromaticities of red, green, blue and white."""
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in chromaticities]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
