"""Reads burned-in text, by the extra `ocr` (RapidOCR: its models come with the package, nothing is fetched)."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infimed_data.images.shrinking import luminance
from infimed_data.phi.findings import Finding, masked
from infimed_data.phi.texts import find_in_text
from infimed_data.schema import PhiConfidence, PhiKind

__all__ = ["ReadLine", "Reader", "judge_lines", "missing_reader", "open_reader", "reader_versions"]

LEAST_SURE = 0.5
"""Confidence of the reader, below which a line counts as unread."""
_PACKAGES = ("rapidocr-onnxruntime", "onnxruntime")


class ReadLine(NamedTuple):
    """A line that a reader read."""

    text: str
    box: tuple[int, int, int, int]
    """Left, top, right, bottom."""


Reader = Callable[[NDArray[Any]], Sequence[ReadLine]]
"""Lines of text in a picture (as `Decoded.pixels`)."""


def missing_reader(where: str) -> list[str]:
    """A problem where the extra is not installed; `where` is the manifest's line that asks for it."""
    if find_spec("rapidocr_onnxruntime") is not None:
        return []
    return [f"{where}: phi.ocr: needs the extra `ocr`: pip install 'infimed-toolkit[ocr]'; or set ocr: false"]


def reader_versions() -> list[str]:
    """Versions of what reads: they are part of what is remembered of a picture."""
    return [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]


@lru_cache(maxsize=1)
def open_reader() -> Reader:
    """The reader, its models loaded once a process; on one thread, since tasks run side by side."""
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def read(pixels: NDArray[Any]) -> list[ReadLine]:
        grey = pixels if pixels.dtype == np.uint8 else luminance(pixels)
        lines, _ = engine(np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2)))
        found = []
        for corners, text, sure in lines or []:
            if float(sure) >= LEAST_SURE:
                xs, ys = [int(x) for x, _ in corners], [int(y) for _, y in corners]
                found.append(ReadLine(str(text), (min(xs), min(ys), max(xs), max(ys))))
        return found

    return read


_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.\-/])(?![0-9]{1,2}[-/](?:19|20)[0-9]{2}\b)(?=(?:[-/]?[A-Z]{0,3}[0-9]){6})[A-Z]{0,3}[0-9]"
    r"[0-9\-/]{5,14}(?![A-Za-z0-9.\-/])"
)
"""No part of a longer name (`...-4e42-b132-...`), and no month and year."""
_FAMILY_FIRST = re.compile(r"^[A-Z][A-Z'\-]{1,20},\s?[A-Z][A-Za-z'\-]{1,20}(?: [A-Z]\.?)?\b")
_MAKER = re.compile(
    r"(?i:uploader|uploaded by|source|courtesy of|author)\s?[:：]?\s?(?P<value>[A-Z][a-z]+ ?[A-Z][A-Za-z. ]{2,40})"
)
_BURNED_IN: tuple[tuple[re.Pattern[str], PhiKind, PhiConfidence, str], ...] = (
    (_FAMILY_FIRST, "name", "medium", "FAMILY, GIVEN at the start of a burned-in line"),
    (_MAKER, "name", "low", "who sent the picture in"),
    (_NUMBER, "record_number", "medium", "a long number, burned in"),
)
"""Forms that say something only in a picture."""


_RUN_TOGETHER = re.compile(
    r"(?i)(?<![a-z])(?:dob|mrn|id|ssn|no|date|tel|phone|name)(?=[0-9])|(?:19|20)[0-9]{2}(?=[0-9]{1,2}:[0-9]{2})"
)
"""Where readers leave out the space that stood there: `DOB03/12/1956`, `12-Mar-201910:41`."""


def judge_lines(lines: Sequence[ReadLine]) -> list[Finding]:
    """Findings in lines that were read. A date or a long number that is burned in is that of the examination."""
    found: list[Finding] = []
    for line in lines:
        text = _RUN_TOGETHER.sub(lambda match: match.group() + " ", line.text)
        own = find_in_text(text)
        own = [_surer(finding) if finding.kind == "date" else finding for finding in own]
        for pattern, kind, confidence, evidence in _BURNED_IN:
            for match in pattern.finditer(text):
                start, end = match.span("value" if "value" in pattern.groupindex else 0)
                if not any(_overlap(finding, start, end) for finding in own):
                    own.append(
                        Finding(kind, confidence, masked(text[start:end], 0, end - start), evidence, start, end - start)
                    )
        found += [finding.at("pixels", line.box) for finding in own]
    return found


def _surer(finding: Finding) -> Finding:
    return Finding(finding.kind, "medium", finding.snippet, "a date, burned in", finding.start, finding.length)


def _overlap(finding: Finding, start: int, end: int) -> bool:
    own = finding.start or 0
    return own < end and start < own + (finding.length or 0)
