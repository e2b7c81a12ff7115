"""Files with the same bytes on every run: fixed times in archives, encoders with fixed settings.

Bytes depend on the versions of Pillow (JPEG, PNG) and PyArrow (Parquet), never on the clock or the machine's name.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps

Row: TypeAlias = dict[str, Any]

_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)


@dataclass
class World:
    """Where the sample data go, what they are drawn from, and the defects planted so far."""

    root: Path
    seed: int = 7
    scale: int = 1
    """How many times the base number of pictures; written text does not grow."""
    planted: list[dict[str, str]] = field(default_factory=list)

    def rng(self, name: str) -> np.random.Generator:
        """A generator of its own for each name, so that adding a picture leaves the others as they are."""
        return np.random.default_rng([self.seed, crc32(name.encode())])

    def plant(self, kind: str, where: str, expect: str) -> None:
        self.planted.append({"kind": kind, "where": where, "expect": expect})


def write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_json(path: Path, value: object, indent: int | None = None) -> None:
    """One JSON document, not ASCII-escaped; `indent=None` gives one line."""
    write_bytes(path, json.dumps(value, ensure_ascii=False, indent=indent).encode())


def write_jsonl(path: Path, rows: Iterable[Row], *, compact: bool = False) -> None:
    """One row a line; `compact` leaves out the blanks after colons and commas, as MedMCQA does."""
    separators = (",", ":") if compact else None
    lines = [json.dumps(row, ensure_ascii=False, separators=separators) + "\n" for row in rows]
    write_bytes(path, "".join(lines).encode())


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """Members in the given order, stored without compression."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, data)


def write_tar(path: Path, members: Mapping[str, bytes]) -> None:
    """Members in the given order, uncompressed, owned by nobody, from 1970."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


STRING: Final[Row] = {"dtype": "string", "_type": "Value"}
INT32: Final[Row] = {"dtype": "int32", "_type": "Value"}
IMAGE: Final[Row] = {"_type": "Image"}


def class_label(names: Sequence[str]) -> Row:
    return {"names": list(names), "_type": "ClassLabel"}


def list_of(feature: Row) -> Row:
    return {"feature": feature, "_type": "List"}


def _arrow_type(feature: Any) -> Any:
    """The Arrow type under which `datasets` stores a feature."""
    kind = feature.get("_type")
    if kind == "Value":
        return pa.type_for_alias(feature["dtype"])
    if kind == "ClassLabel":
        return pa.int64()
    if kind == "Image":
        return pa.struct({"bytes": pa.binary(), "path": pa.string()})
    if kind == "List":
        return pa.list_(_arrow_type(feature["feature"]))
    return pa.struct([(name, _arrow_type(inner)) for name, inner in feature.items()])


def write_parquet(path: Path, rows: Sequence[Row], features: Mapping[str, Row]) -> None:
    """Parquet as `datasets` writes it, with the features in the schema's `huggingface` metadata."""
    info = json.dumps({"info": {"features": dict(features)}})
    fields = [pa.field(name, _arrow_type(feature)) for name, feature in features.items()]
    schema = pa.schema(fields, metadata={"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)


# ---------------------------------------------------------------------------------------------------------------------
# Encoded pictures
# ---------------------------------------------------------------------------------------------------------------------


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def cmyk_jpeg(image: Image.Image) -> bytes:
    """Four inverted channels with an Adobe marker, as in some public JPEGs."""
    return jpeg(image.convert("RGB").convert("CMYK"))


def palette_png(image: Image.Image) -> bytes:
    """64 grey levels in a palette: the stored numbers are indices, not brightness."""
    levels = np.asarray(image) // 4
    indexed = Image.fromarray((63 - levels).astype(np.uint8)).convert("P")
    indexed.putpalette([value for level in range(63, -1, -1) for value in (level * 4,) * 3])
    return png(indexed)


def sixteen_bit_png(image: Image.Image) -> bytes:
    """Values to 65535: a plain `convert("L")` clips nearly all of them to white."""
    return png(Image.fromarray(np.asarray(image).astype(np.uint16) * 257))


def rgba_png(image: Image.Image) -> bytes:
    """Grey in RGB and a border that is fully transparent."""
    alpha = np.full((image.height, image.width), 255, dtype=np.uint8)
    alpha[:6] = alpha[-6:] = 0
    alpha[:, :6] = alpha[:, -6:] = 0
    rgba = image.convert("RGB")
    rgba.putalpha(Image.fromarray(alpha))
    return png(rgba)


def truncated(data: bytes) -> bytes:
    """The first half, as an interrupted download leaves it."""
    return data[: len(data) // 2]


def re_encoded(image: Image.Image) -> bytes:
    """The same picture at 80 % of its size and a lower quality: other bytes and pixels, same content."""
    side = round(image.width * 0.8)
    return jpeg(image.resize((side, side), Image.Resampling.LANCZOS), quality=60)


def inverted(image: Image.Image) -> bytes:
    """Black and white exchanged, as some viewers show films."""
    return jpeg(ImageOps.invert(image))


def cropped(image: Image.Image) -> bytes:
    """Without 6 % at each edge."""
    edge = round(image.width * 0.06)
    return jpeg(image.crop((edge, edge, image.width - edge, image.height - edge)))
