"""Seconds for a digest of the pixels and imagehash's perceptual hash of a folder's pictures; runs in its environment.

    PYTHON tests/benchmarks/picture_peers.py FOLDER --processes 2

Each file is decoded once: SHA-256 of its pixels, then `imagehash.phash`. Prints JSON: wall and CPU seconds, without
the imports and the start of processes. Nothing of the project is imported. Exits with 3 where imagehash is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import multiprocessing
import sys
import time
from pathlib import Path


def hashed(paths: list[Path]) -> float:
    """Hashes some files; returns the CPU seconds."""
    import imagehash
    from PIL import Image

    start = time.process_time()
    for path in paths:
        with Image.open(path) as image:
            hashlib.sha256(image.tobytes()).hexdigest()
            imagehash.phash(image)
    return time.process_time() - start


def main() -> int:
    """Times one pass over the folder."""
    parser = argparse.ArgumentParser(description="imagehash on a folder of pictures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if importlib.util.find_spec("imagehash") is None:
        return 3
    paths = sorted(path for path in options.folder.iterdir() if path.is_file())
    parts = [paths[first : first + 16] for first in range(0, len(paths), 16)]
    hashed(paths[:4])
    if options.processes == 1:
        start = time.perf_counter()
        cpu_s = sum(map(hashed, parts))
        wall_s = time.perf_counter() - start
    else:
        with multiprocessing.Pool(options.processes) as pool:
            pool.map(hashed, [paths[:4]] * options.processes, chunksize=1)
            start = time.perf_counter()
            cpu_s = sum(pool.map(hashed, parts, chunksize=1))
            wall_s = time.perf_counter() - start
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
