"""The search for protected health information: what it finds of what is planted, and where nothing is, and its cost.

python tests/benchmarks/bench_phi.py [--real FOLDER_OF_REAL_DATA] [--ocr --step 4]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from drawn_pictures import LOOKS, drawn
from PIL import Image
from planted_phi import CLEAN, HEADERS, burned_in, planted_texts, with_header

from infimed_data.images.pixels import decode
from infimed_data.images.shrinking import luminance
from infimed_data.phi.headers import find_in_headers
from infimed_data.phi.lettering import find_lettering
from infimed_data.phi.pictures import find_in_pixels
from infimed_data.phi.reading import open_reader
from infimed_data.phi.texts import find_in_text, find_in_texts

PIXELS = 100_000_000
LINES = ["LOPEZ, MARIA", "MRN 00471193", "DOB 03/12/1956", "12-Mar-2019 10:41"]


def texts() -> None:
    """Recall by kind, at any confidence and at medium or more; forms that are missed; findings in clean texts."""
    found: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for planted in planted_texts(50):
        start = planted.text.rindex(planted.value)
        end = start + len(planted.value)
        own = [
            f for f in find_in_text(planted.text)
            if f.kind == planted.kind and f.start is not None and f.length is not None
            and f.start < end and f.start + f.length > start
        ]  # fmt: skip
        counts = found[planted.kind, planted.form]
        counts[0] += 1
        counts[1] += bool(own)
        counts[2] += any(f.confidence != "low" for f in own)
    print("texts: kind, forms, planted, found, found with medium confidence or more, forms never found")
    for kind, rows in itertools.groupby(sorted(found), key=lambda key: key[0]):
        forms = list(rows)
        planted_n, any_n, sure_n = (sum(found[form][i] for form in forms) for i in range(3))
        missed = ", ".join(form for _, form in forms if not found[kind, form][1])
        print(f"  {kind:<14}{len(forms):>3}{planted_n:>6}{any_n / planted_n:>8.3f}{sure_n / planted_n:>8.3f}  {missed}")
    false = [(f.kind, f.confidence, f.snippet) for text in CLEAN for f in find_in_text(text)]
    print(f"  {len(CLEAN)} clean texts that look as if they had some: {len(false)} findings {false}")


def headers() -> None:
    """Which planted headers are found, and what is found in files without any."""
    image = Image.new("L", (64, 48), 90)
    missed = [
        name
        for name, (kind, _) in HEADERS.items()
        if kind not in {f.kind for f in find_in_headers(with_header(name, image), max_pixels=PIXELS)}
    ]
    clean = [f for look in LOOKS for f in find_in_headers(drawn(look, 0), max_pixels=PIXELS)]
    print(
        f"headers: {len(HEADERS) - len(missed)} of {len(HEADERS)} planted are found; missed: {missed}; clean: {clean}"
    )


def lettering(pictures: list[tuple[str, Any]], *, ocr: bool) -> None:
    """Recall of burned-in lines by height, light and encoding, and findings in pictures without."""
    reader = open_reader() if ocr else None
    print("lettering: height of letters, light, encoding, planted, flagged, identifiers read (of 4 lines)")
    for height, light, jpeg in itertools.product((9, 12, 18, 28), (255, 150), (None, 75)):
        flagged = planted = read = 0
        for number, (_, image) in enumerate(pictures):
            data = burned_in(image, LINES, height=height, light=light, corner=number % 4, jpeg=jpeg)
            pixels = decode(data, max_pixels=PIXELS).pixels
            found = find_in_pixels(pixels, reader)
            planted += 1
            flagged += any(f.kind == "lettering" for f in found)
            read += len({f.kind for f in found} & {"name", "record_number", "birth_date", "date"})
        shown = f"{read / planted:>6.2f}" if ocr else ""
        print(f"  {height:>3}{light:>5}  {'PNG' if jpeg is None else f'JPEG {jpeg}':<8}{planted:>5}{flagged:>6}{shown}")
    alarms = {name: bool(find_lettering(np.ascontiguousarray(np.asarray(image)))) for name, image in pictures}
    by_look = Counter(name.split()[0] for name, alarm in alarms.items() if alarm)
    print(f"  the same {len(pictures)} pictures without: {sum(alarms.values())} flagged {dict(by_look)}")


def _drawn_pictures() -> Iterator[tuple[str, Any]]:
    for look in LOOKS:
        if look in ("chart", "64 pixels", "strip 8:1"):  # lettered by nature; too small for four lines
            continue
        for seed in range(6):
            yield f"{look.replace(' ', '-')} {seed}", Image.fromarray(_grey(drawn(look, seed)))


def _grey(data: bytes) -> Any:
    pixels: Any = decode(data, max_pixels=PIXELS).pixels
    return pixels if pixels.dtype == np.uint8 else luminance(pixels)


def real(folder: Path, *, ocr: bool, step: int) -> None:
    """Findings in real data, where hardly a text holds an identifier, and the speed of both searches."""
    total: Counter[tuple[str, str]] = Counter()
    rows = size = spent = 0.0
    print("real texts: file, rows, findings")
    for path in sorted(folder.glob("*/*.json*")):
        own = list(_rows(path))
        start = time.process_time()
        found = find_in_texts(pl.Series(own, dtype=pl.String))
        spent += time.process_time() - start
        rows, size = rows + len(own), size + sum(map(len, own))
        counts = Counter((f.kind, f.confidence) for _, findings in found for f in findings)
        total += counts
        print(f"  {path.parent.name}/{path.name}: {len(own):,} {dict(counts)}")
    print(f"  in all {rows:,.0f} rows, {size / 1e6:.1f} MB, {dict(total)}")
    print(f"  {rows / spent:,.0f} rows/s, {size / spent / 1e6:.0f} MB/s of CPU")
    reader = open_reader() if ocr else None
    pictures: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    spent = pixels = 0.0
    paths = [*sorted(folder.glob("medpix/**/*.png")), *sorted(folder.glob("vqa_rad/*/*.jpg"))]
    for path in paths[::step]:
        data = path.read_bytes()
        picture = decode(data, max_pixels=PIXELS)
        start = time.process_time()
        in_headers = find_in_headers(data, max_pixels=PIXELS)
        in_pixels = find_in_pixels(picture.pixels, reader)
        spent += time.process_time() - start
        pixels += picture.pixels.size
        pictures["all"] += 1
        pictures["with lettering"] += bool(in_pixels)
        pictures["with a header"] += bool(in_headers)
        kinds.update({(f.kind, f.confidence) for f in (*in_headers, *in_pixels)})
        if reader is not None:
            height, width = picture.pixels.shape
            part = np.ascontiguousarray(picture.pixels[height // 6 : -height // 6, width // 6 : -width // 6])
            if not reader(part):
                inner["read as empty"] += 1
                inner["flagged all the same"] += bool(find_lettering(part))
    if reader is not None:
        print(f"real pictures, the inner two thirds alone: {dict(inner)}")
    print(f"real pictures: {dict(pictures)}; pictures by kind {dict(sorted(kinds.items()))}")
    print(f"  {1000 * spent / pictures['all']:.1f} ms of CPU a picture, {1e9 * spent / pixels:.0f} ms a megapixel")


def _rows(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8")
    try:
        data = json.loads(text)
        rows = list(data.values()) if isinstance(data, dict) else data
    except json.JSONDecodeError:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    for row in rows:
        yield "\n".join(_texts(row))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--step", type=int, default=1, help="every so-manieth picture only")
    parser.add_argument("--ocr", action="store_true", help="read what is burned in, with the extra `ocr`")
    asked = parser.parse_args()
    texts()
    headers()
    lettering(list(_drawn_pictures())[:: asked.step], ocr=asked.ocr)
    if asked.real:
        real(asked.real, ocr=asked.ocr, step=asked.step)


if __name__ == "__main__":
    main()
