"""What headers of image files say: EXIF, XMP, comments, and the text chunks of PNG. No pixel is decoded.

Tools that turn DICOM files into pictures carry its attributes over (`PatientName`, `(0010,0010)`), so those are
looked for by name; whatever else a header says is judged as text is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import ExifTags, Image

from infimed_data.images.pixels import open_image
from infimed_data.phi.findings import Finding, masked, without_overlaps
from infimed_data.phi.texts import find_in_text
from infimed_data.schema import PhiConfidence, PhiKind

__all__ = ["find_in_headers", "header_texts"]

MAX_TEXT = 1 << 18
"""Characters of one header that are read."""
MAX_TEXTS = 200
"""Headers of one file that are read."""

ATTRIBUTES: dict[str, tuple[PhiKind, PhiConfidence]] = {
    "PatientName": ("name", "high"),
    "PatientID": ("record_number", "high"),
    "OtherPatientIDs": ("record_number", "high"),
    "OtherPatientNames": ("name", "high"),
    "PatientBirthDate": ("birth_date", "high"),
    "PatientBirthName": ("name", "high"),
    "PatientMotherBirthName": ("name", "high"),
    "PatientAddress": ("address", "high"),
    "PatientTelephoneNumbers": ("phone", "high"),
    "MedicalRecordLocator": ("record_number", "high"),
    "AccessionNumber": ("record_number", "high"),
    "StudyID": ("record_number", "low"),
    "StudyDate": ("date", "medium"),
    "SeriesDate": ("date", "medium"),
    "AcquisitionDate": ("date", "medium"),
    "ContentDate": ("date", "medium"),
    "ReferringPhysicianName": ("name", "high"),
    "PerformingPhysicianName": ("name", "high"),
    "NameOfPhysiciansReadingStudy": ("name", "high"),
    "OperatorsName": ("name", "high"),
    "InstitutionAddress": ("address", "medium"),
}
"""DICOM attributes that say who somebody is, by keyword (PS3.6), and what a value of theirs counts as."""
_BY_TAG = {
    "0010,0010": "PatientName", "0010,0020": "PatientID", "0010,0030": "PatientBirthDate",
    "0010,1000": "OtherPatientIDs", "0010,1001": "OtherPatientNames", "0010,1005": "PatientBirthName",
    "0010,1040": "PatientAddress", "0010,2154": "PatientTelephoneNumbers", "0008,0050": "AccessionNumber",
    "0008,0020": "StudyDate", "0008,0021": "SeriesDate", "0008,0022": "AcquisitionDate", "0008,0023": "ContentDate",
    "0008,0090": "ReferringPhysicianName", "0008,1050": "PerformingPhysicianName", "0008,1070": "OperatorsName",
    "0008,0081": "InstitutionAddress",
}  # fmt: skip
_SPELLED = {"".join(name.lower().split()): name for name in ATTRIBUTES}
_ATTRIBUTE = re.compile(
    r"(?i)(?<![A-Za-z])(?P<key>"
    + "|".join(
        sorted((re.sub(r"(?<=[a-z])(?=[A-Z])", "['’]?s?[ _-]?", name) for name in ATTRIBUTES), key=len, reverse=True)
    )
    + r"|\(?(?:0008|0010),\s?[0-9a-f]{4}\)?)[\"']?(?:\s?[A-Z]{2}(?=\s?[\[:=]))?\s{0,3}[:=>|\[]\s{0,3}[\"'\[]?"
    r"(?P<value>[^\s\"'<>\[\]|;\n\r\0][^\"'<>\[\]|;\n\r\0]{0,80})"
)
_EMPTY = re.compile(
    r"(?i)^(?:[\s\-_x*?.0]*|anon\w*|de-?identified|removed|redacted|none|null|unknown|n/?a|not available)$"
)
"""Values that say that there is none."""

_PERSON = re.compile(r"(?:Dr\.? |Prof\.? )?[A-Z][a-z'’\-]+(?:,? [A-Z][A-Za-z'’.\-]*){1,3}")
_PEOPLE: dict[str, PhiConfidence] = {
    "Artist": "low", "XPAuthor": "low", "CameraOwnerName": "medium", "Copyright": "low", "Author": "low",
}  # fmt: skip
"""Headers whose value is the name of whoever made the picture."""
_TAKEN: dict[str, PhiConfidence] = {
    "DateTimeOriginal": "medium", "DateTimeDigitized": "medium", "DateTime": "low", "Creation Time": "low",
}  # fmt: skip
"""Headers whose value is a time: when the picture was taken, or the file made."""


def find_in_headers(data: bytes, *, max_pixels: int) -> list[Finding]:
    """Findings in the headers of an image file. Raises `Reject` for bytes that are no image."""
    found: list[Finding] = []
    with open_image(data, max_pixels=max_pixels) as image:
        for field, name, text in header_texts(image, data):
            found += [finding.at(field) for finding in _judged(name, text)]
    return found


def _judged(name: str, text: str) -> list[Finding]:
    """Findings in one header, by its name and what it says."""
    if name == "GPSInfo":
        return [Finding("address", "high", masked(text, 0, len(text)), "where the camera was")]
    own = _SPELLED.get(re.sub(r"[\s_:\-]|^dicom", "", name.lower())) or _BY_TAG.get(name.strip("()").replace(" ", ""))
    if own is not None:
        return [] if _EMPTY.match(text) else [_attribute(own, text, 0, len(text))]
    if name in _PEOPLE and _PERSON.fullmatch(text.strip()):
        return [Finding("name", _PEOPLE[name], masked(text, 0, len(text)), "who made the picture", 0, len(text))]
    if name in _TAKEN:
        when = re.match(r"(?:19|20)[0-9]{2}[:\-/][0-9]{2}[:\-/][0-9]{2}", text)
        found = Finding("date", _TAKEN[name], masked(text, 0, len(text)), "when the picture was taken", 0, len(text))
        return [found] if when else []
    named = []
    for match in _ATTRIBUTE.finditer(text):
        key = match["key"]
        plain = _SPELLED.get(re.sub(r"['’]s|[\s_\-']", "", key.lower())) or _BY_TAG.get(
            key.strip("()").replace(" ", "")
        )
        if plain is not None and not _EMPTY.match(match["value"]):
            named.append(_attribute(plain, text, match.start("value"), match.end("value")))
    return without_overlaps([*named, *find_in_text(text)])


def _attribute(name: str, text: str, start: int, end: int) -> Finding:
    kind, confidence = ATTRIBUTES[name]
    value = text[start:end]
    return Finding(kind, confidence, f"{name}: {masked(value, 0, len(value))}", f"DICOM's {name}", start, end - start)


def header_texts(image: Image.Image, data: bytes) -> Iterator[tuple[str, str, str]]:
    """(shown name, own name, text) of each header that says something."""
    count = 0
    for field, name, text in _all_texts(image, data):
        if text and (count := count + 1) <= MAX_TEXTS:
            yield field, name, text[:MAX_TEXT]


def _all_texts(image: Image.Image, data: bytes) -> Iterator[tuple[str, str, str]]:
    if data.startswith(_PNG):
        for name, text in _png_texts(data):
            yield f"png:{name[:60]}", name, text
    exif = _exif(image)
    for name, value in exif.items():
        yield f"exif:{name}", name, _text(value)
    info = image.info
    for key, name in (("comment", "comment"), ("xmp", "xmp"), ("photoshop", "iptc")):
        if key in info:
            yield name, name, _text(info[key])


_PNG = b"\x89PNG\r\n\x1a\n"


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    """(keyword, text) of the chunks tEXt, zTXt and iTXt, wherever they stand."""
    at = len(_PNG)
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        at += 12 + size
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        keyword, _, rest = body.partition(b"\0")
        if kind == b"tEXt":
            text = rest.decode("latin-1")
        elif kind == b"zTXt":
            text = _inflated(rest[1:]).decode("latin-1")
        else:
            _, _, words = rest[2:].partition(b"\0")
            _, _, words = words.partition(b"\0")
            text = (_inflated(words) if rest[:1] == b"\1" else words).decode("utf-8", "replace")
        yield keyword.decode("latin-1"), text


def _inflated(packed: bytes) -> bytes:
    """As much as is read of a deflated text; nothing of one that is damaged."""
    try:
        return zlib.decompressobj().decompress(packed, MAX_TEXT)
    except zlib.error:
        return b""


def _exif(image: Image.Image) -> Mapping[str, Any]:
    """EXIF values by tag name; what cannot be read counts as not there."""
    found: dict[str, Any] = {}
    try:
        exif = image.getexif()
        for tag, value in exif.items():
            found[ExifTags.TAGS.get(tag, f"{tag:#06x}")] = value
        for tag, value in exif.get_ifd(ExifTags.IFD.Exif).items():
            found[ExifTags.TAGS.get(tag, f"{tag:#06x}")] = value
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:  # a parser may raise anything on foreign bytes; pixels are checked where they are decoded
        return {name: value for name, value in found.items() if name != "GPSInfo"}
    found.pop("GPSInfo", None)
    if ExifTags.GPS.GPSLatitude in place:
        found["GPSInfo"] = f"latitude {place[ExifTags.GPS.GPSLatitude]}"
    return found


def _text(value: object) -> str:
    """A header's value as text: EXIF comments have their encoding before them, Windows' are UTF-16."""
    if isinstance(value, tuple):
        value = bytes(value) if all(isinstance(v, int) and 0 <= v < 256 for v in value) else " ".join(map(str, value))
    if isinstance(value, bytes):
        head, body = value[:8], value[8:]
        if head.startswith(b"ASCII\0"):
            value = body.decode("ascii", "replace")
        elif head.startswith(b"UNICODE\0"):
            value = body.decode("utf-16-le" if body[1:2] == b"\0" else "utf-16-be", "replace")
        elif len(value) >= 4 and value[1::2].count(0) > len(value) // 3:
            value = value.decode("utf-16-le", "replace")
        else:
            value = value.decode("utf-8", "replace")
    return str(value).strip("\0 \t\r\n")
