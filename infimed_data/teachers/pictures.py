"""Pictures as chat servers take them: PNG, JPEG, WEBP or GIF, no larger than the teacher wants, never stored."""

from __future__ import annotations

import base64
import io

from PIL import Image

from infimed_data.images import fit

__all__ = ["LIMIT_PIXELS", "Picture", "data_url", "picture"]

LIMIT_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded."""
_SIGNATURES = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"))

Picture = tuple[bytes, str]
"""Encoded bytes and the subtype of their MIME type."""


def picture(data: bytes, *, max_pixels: int | None) -> Picture:
    """`data`, scaled down to `max_pixels`, deep pictures to 8 bits; what servers do not take (TIFF, BMP) as PNG.

    Raises `Reject`: `image_unreadable` or `image_too_large`.
    """
    fitted = fit(data, max_pixels=max_pixels, window=True, limit_pixels=LIMIT_PIXELS)
    for signature, kind in _SIGNATURES:
        if fitted.startswith(signature):
            return fitted, kind
    with Image.open(io.BytesIO(fitted)) as image:
        out = io.BytesIO()
        (image if image.mode in ("L", "RGB", "RGBA", "P") else image.convert("RGB")).save(out, "PNG")
    return out.getvalue(), "png"


def data_url(data: bytes, *, max_pixels: int | None) -> str:
    """The picture as a `data:` URL."""
    fitted, kind = picture(data, max_pixels=max_pixels)
    return f"data:image/{kind};base64,{base64.b64encode(fitted).decode()}"
