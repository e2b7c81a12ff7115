"""Small copies of pictures are gathered from wherever they were made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infimed_data.storage.squares import gather_squares, map_squares, square_rows, write_squares


def plane(value: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.full((4, 4), value, np.uint8)


def gathered(folder: Path, name: str, digests: str, parts: list[Path], known: list[Path]) -> Path:
    out = folder / name
    out.mkdir()
    gather_squares(out, pa.array(sorted(digests), pa.string()), parts, known, 4)
    return out


def test_squares_come_from_parts_and_from_what_is_known(tmp_path: Path) -> None:
    for name, squares in (("one", "ca"), ("two", "bc")):
        write_squares(tmp_path / f"{name}.arrow", {digest: plane(ord(digest)) for digest in squares})
    known = gathered(tmp_path, "known", "bc", [tmp_path / "two.arrow"], [])
    out = gathered(tmp_path, "out", "abc", [tmp_path / "one.arrow"], [known])
    rows = square_rows(out, pa.array(["c", "x", "a", "b"])).to_pylist()
    assert rows == [2, None, 0, 1]
    assert [map_squares(out)[row].tolist() for row in (0, 1, 2)] == [plane(ord(d)).tolist() for d in "abc"]


def test_without_pictures_there_are_no_squares(tmp_path: Path) -> None:
    write_squares(tmp_path / "none.arrow", {})
    out = gathered(tmp_path, "out", "", [tmp_path / "none.arrow"], [])
    assert len(map_squares(out)) == 0
    assert square_rows(out, pa.array(["a"])).to_pylist() == [None]


def test_a_square_that_nobody_made_is_an_error(tmp_path: Path) -> None:
    write_squares(tmp_path / "one.arrow", {"a": plane(1)})
    with pytest.raises(KeyError, match="b"):
        gathered(tmp_path, "out", "ab", [tmp_path / "one.arrow"], [])
