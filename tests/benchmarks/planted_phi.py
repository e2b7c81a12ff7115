"""Invented identifiers in the forms that people write them, planted into texts, headers and pixels.

Nobody here exists: names, numbers and addresses are drawn by a seed. The forms were written down before the rules were
tried on them; a few rules were added for forms that were missed, and some forms no rule finds.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

__all__ = ["CLEAN", "HEADERS", "Planted", "burned_in", "chinese_id", "planted_texts", "with_header"]

_GIVEN = ("Maria", "James", "Aisha", "Peter", "Chloe", "Ravi", "Elena", "Tomás", "Grace", "Henrik", "Naomi", "Kwame")
_FAMILY = (
    "Lopez",
    "O'Brien",
    "Khan",
    "Novak",
    "Dubois",
    "Patel",
    "Rossi",
    "Smith",
    "Okafor",
    "Larsen",
    "Cohen",
    "Tanaka",
)
_GIVEN_ZH, _FAMILY_ZH = ("伟", "秀英", "建国", "丽", "子涵", "晓明"), ("王", "李", "张", "刘", "陈", "欧阳")
_PLAIN = str.maketrans({"á": "a", "'": "", " ": "."})
_STREETS = ("Maple", "Oak Hill", "Washington", "Park", "Lakeview")
_TOWNS = (("Boston", "MA"), ("Portland", "OR"), ("Austin", "TX"), ("Springfield", "IL"))
_MONTHS = ("January", "March", "May", "August", "October", "December")


@dataclass(frozen=True)
class Planted:
    """A text with one identifier in it."""

    kind: str
    form: str
    text: str
    value: str


def chinese_id(rng: random.Random) -> str:
    """A number in the form of a Chinese identity card, with the right last character."""
    born = f"{rng.randint(1930, 2015)}{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}"
    body = f"{rng.randint(11, 65)}{rng.randint(0, 9999):04d}{born}{rng.randint(0, 999):03d}"
    total = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(body))
    return body + "10X98765432"[total % 11]


def _name(r: random.Random) -> str:
    return f"{r.choice(_GIVEN)} {r.choice(_FAMILY)}"


def _name_zh(r: random.Random) -> str:
    return r.choice(_FAMILY_ZH) + r.choice(_GIVEN_ZH)


def _digits(r: random.Random, count: int) -> str:
    return "".join(str(r.randint(1 if not i else 0, 9)) for i in range(count))


def _us(r: random.Random) -> tuple[str, str, str]:
    return str(r.randint(201, 989)), str(r.randint(200, 999)), _digits(r, 4)


def _date(r: random.Random, form: str) -> str:
    """A day in the form that `%Y`, `%m`, `%d` and `%B` give; `%M` and `%D` have two digits, `%b` three letters."""
    year, month, day, name = r.randint(1930, 2024), r.randint(1, 12), r.randint(13, 28), r.choice(_MONTHS)
    parts = {"%Y": year, "%m": month, "%M": f"{month:02d}", "%d": day, "%D": day, "%B": name, "%b": name[:3]}
    for mark, value in parts.items():
        form = form.replace(mark, str(value))
    return form


Make = Callable[[random.Random], tuple[str, str]]
"""(the words around, with {} for it, and the identifier)."""

FORMS: dict[str, dict[str, Make]] = {
    "name": {
        "Patient name: G F": lambda r: ("Patient name: {}. Findings as above.", _name(r)),
        "Patient Name: FAMILY, Given": lambda r: (
            "Patient Name: {}\nSex: F",
            f"{r.choice(_FAMILY).upper()}, {r.choice(_GIVEN)}",
        ),
        "name of patient is": lambda r: ("The name of the patient is {} and she is 40.", _name(r)),
        "Pt's name": lambda r: ("Pt's name {} was verified.", _name(r)),
        "JSON": lambda r: ('{{"PatientName": "{}"}}', _name(r)),
        "FAMILY^GIVEN": lambda r: ("Study of {} was read.", f"{r.choice(_FAMILY).upper()}^{r.choice(_GIVEN).upper()}"),
        "signed by": lambda r: ("Electronically signed by: Dr. {}", _name(r)),
        "Referring physician": lambda r: ("Referring physician: {}, MD", _name(r)),
        "Name: on a line": lambda r: ("Name: {}\nAge: 44", _name(r)),
        "Mr. G F": lambda r: ("Mr. {} presented with a cough.", f"James {r.choice(_FAMILY)}"),
        "Mrs. F": lambda r: ("Mrs. {} presented with a cough.", r.choice(_FAMILY)),
        "G F in a sentence": lambda r: ("{} is a 45-year-old teacher with a cough.", _name(r)),
        "my name is": lambda r: ("Hello doctor, my name is {} and I cough.", _name(r)),
        "姓名：": lambda r: ("患者姓名：{}，性别：女，咳嗽三天。", _name_zh(r)),
        "姓名 without a stop": lambda r: ("姓名:{}性别:男年龄:45岁", _name_zh(r)),
        "报告医师：": lambda r: ("报告医师：{} 审核：已审", r.choice("王李张刘陈") + r.choice(_GIVEN_ZH)),
        "先生": lambda r: ("{}先生因咳嗽就诊。", r.choice("王李张刘陈") + r.choice(_GIVEN_ZH)),
        "in a sentence, zh": lambda r: ("{}，男，45岁，咳嗽三天。", _name_zh(r)),
    },
    "birth_date": {
        "DOB: m/d/y": lambda r: ("DOB: {}, female.", _date(r, "%m/%d/%Y")),
        "DOB m/d/yy": lambda r: ("Smoker, DOB {} F", _date(r, "%M/%D/56")),
        "dob y-m-d": lambda r: ("dob {} male", _date(r, "%Y-%M-%D")),
        "date of birth, words": lambda r: (
            "Her date of birth is {}.",
            _date(r, "%d %B %Y"),
        ),
        "born on": lambda r: ("He was born on {} in Ohio.", _date(r, "%B %d, %Y")),
        "D.O.B. d.m.y": lambda r: ("D.O.B. {} noted.", _date(r, "%d.%M.%Y")),
        "出生日期": lambda r: ("出生日期：{}，女。", _date(r, "%Y年%m月%d日")),
        "生于": lambda r: ("患者生于{}，女。", _date(r, "%Y年%m月%d日")),
    },
    "record_number": {
        "MRN: n": lambda r: ("MRN: {} was reviewed.", _digits(r, 7)),
        "MRN #n": lambda r: ("see MRN #{} for details", _digits(r, 8)),
        "MRN 00-12-34": lambda r: ("MRN {} reviewed", f"{_digits(r, 2)}-{_digits(r, 2)}-{_digits(r, 2)}"),
        "medical record number": lambda r: ("Her medical record number is {}.", _digits(r, 9)),
        "Patient ID": lambda r: ("Patient ID: {}", f"PT{_digits(r, 6)}"),
        "Accession No.": lambda r: ("Accession No. {}", f"{_digits(r, 4)}-{_digits(r, 5)}"),
        "hospital number": lambda r: ("Hospital number {} (transferred)", f"H{_digits(r, 6)}"),
        "NHS number": lambda r: ("NHS number {}", f"{_digits(r, 3)} {_digits(r, 3)} {_digits(r, 4)}"),
        "insurance": lambda r: ("Insurance policy no: {}", f"XK{_digits(r, 8)}"),
        "acct": lambda r: ("acct# {}", _digits(r, 8)),
        "record in prose": lambda r: ("filed under {} in our records", _digits(r, 8)),
        "住院号": lambda r: ("住院号：{}，咳嗽三天。", _digits(r, 7)),
        "病历号 without a stop": lambda r: ("病历号{}，咳嗽三天。", f"A{_digits(r, 6)}"),
        "检查号": lambda r: ("检查号: {} 胸部CT", f"CT{_digits(r, 6)}"),
    },
    "national_id": {
        "SSN: n": lambda r: ("SSN: {}", f"{r.randint(100, 660)}-{r.randint(10, 99)}-{_digits(r, 4)}"),
        "n alone": lambda r: (
            "identified as {} at intake",
            f"{r.randint(100, 660)}-{r.randint(10, 99)}-{_digits(r, 4)}",
        ),
        "SSN nine digits": lambda r: ("SSN {} on file", f"{r.randint(100, 660)}{r.randint(10, 99)}{_digits(r, 4)}"),
        "身份证": lambda r: ("身份证号{}，咳嗽三天。", chinese_id(r)),
        "identity number alone": lambda r: ("患者 {} 咳嗽三天。", chinese_id(r)),
    },
    "phone": {
        "(nnn) nnn-nnnn": lambda r: ("She can be reached at {}.", "({}) {}-{}".format(*_us(r))),
        "nnn-nnn-nnnn": lambda r: ("reach her daughter, {}", "{}-{}-{}".format(*_us(r))),
        "cell nnn.nnn.nnnn": lambda r: ("cell {} after six", "{}.{}.{}".format(*_us(r))),
        "Phone: nnn nnn nnnn": lambda r: ("Phone: {}", "{} {} {}".format(*_us(r))),
        "+1-": lambda r: ("call {}", "+1-{}-{}-{}".format(*_us(r))),
        "+44": lambda r: ("ring {} at night", f"+44 20 {_digits(r, 4)} {_digits(r, 4)}"),
        "tel. ten digits": lambda r: ("tel. {}", _digits(r, 10)),
        "bare, with dots": lambda r: ("daughter {}", "{}.{}.{}".format(*_us(r))),
        "电话": lambda r: ("联系电话：{}", f"13{_digits(r, 9)}"),
        "mobile alone": lambda r: ("家属{}，已告知。", f"138{_digits(r, 8)}"),
        "landline": lambda r: ("科室电话010-{}", f"{_digits(r, 8)}"),
    },
    "email": {
        "address": lambda r: (
            "write to {} please",
            f"{_name(r).lower().translate(_PLAIN)}@stmary-clinic.org",
        ),
        "in brackets": lambda r: ("(<{}>)", f"user{_digits(r, 3)}@mail.hospital.edu"),
        "zh": lambda r: ("邮箱{}，请回复", f"{_digits(r, 8)}@qq.com"),
        "spelt out": lambda r: ("write to {}", f"user{_digits(r, 3)} at hospital dot org"),
    },
    "address": {
        "street": lambda r: ("She lives at {} with her son.", f"{r.randint(2, 9999)} {r.choice(_STREETS)} Street"),
        "St, with town": lambda r: ("lives at {}, alone", f"{r.randint(2, 9999)} {r.choice(_STREETS)} Ave"),
        "town and ZIP": lambda r: ("seen in {} last week", "{}, {} {}".format(*r.choice(_TOWNS), _digits(r, 5))),
        "Address:": lambda r: ("Address: {}", f"{r.randint(2, 999)} {r.choice(_STREETS)} Close, Leeds"),
        "住址": lambda r: ("住址：{}", f"江苏省南京市玄武区中山路{r.randint(2, 300)}号"),
        "village": lambda r: ("家住{}", "浙江省义乌市佛堂镇王宅村"),
    },
    "date": {
        "admitted on": lambda r: ("She was admitted on {}.", _date(r, "%B %d, %Y")),
        "m/d/y": lambda r: ("CT of {} shows no change.", _date(r, "%m/%d/%Y")),
        "y-m-d": lambda r: ("scan {}: stable", _date(r, "%Y-%M-%D")),
        "d Mon y": lambda r: ("biopsy, {}", _date(r, "%d %b %Y")),
        "d-Mon-y": lambda r: ("biopsy {}", _date(r, "%d-%b-%Y")),
        "the dth of": lambda r: ("on the {} she fell", _date(r, "%dth of %B %Y")),
        "入院": lambda r: ("{}入院。", _date(r, "%Y年%m月%d日")),
        "m/d/yy alone": lambda r: ("CT of {} shows no change.", _date(r, "%m/%d/19")),
        "month and day": lambda r: ("admitted on {}", f"{r.choice(_MONTHS)} {r.randint(13, 28)}"),
    },
    "age_over_89": {
        "n-year-old": lambda r: ("A {}-year-old woman falls.", str(r.randint(90, 109))),
        "n years old": lambda r: ("He is {} years old.", str(r.randint(90, 109))),
        "n y/o": lambda r: ("{} y/o F with a cough", str(r.randint(90, 109))),
        "n yo": lambda r: ("{}yo M with a cough", str(r.randint(90, 109))),
        "aged n": lambda r: ("a man aged {} with a cough", str(r.randint(90, 109))),
        "Age: n": lambda r: ("Age: {}\nSex: F", str(r.randint(90, 109))),
        "n岁": lambda r: ("患者女，{}岁，咳嗽。", str(r.randint(90, 109))),
        "in words": lambda r: ("A {} woman falls.", r.choice(["ninety-two-year-old", "ninety-five year old"])),
    },
}
"""By kind, forms of writing it."""

CLEAN = (
    "A 2-year-old boy, T12 fracture, BP 120/80 mm Hg, 37.8°C (100°F), Na+ 138 mEq/L, Cl- 103 mEq/L.",
    "Leukocytes 12,300/mm3, platelets 250,000/mm3; PaO2 94-98 mm Hg; dose 5-10 mg/kg every 4-6 hours.",
    "Patients aged 18 to 95 years; those over 90 years old, or 90 years or older, were 12.5% of 1,204.",
    "HLA-B27, CYP2D6 2988G>A, c.1521_1523delCTT, NM_000492.4, rs334, chr7:117559590, OMIM 602421, CAS 50-78-2.",
    "Dose 1200-1500 mL; ratio 1:10000; 10-20-30 rule; 3/4 time; grade 2/6; L4/5; 11/12 items; ICD-10 E11.65.",
    "PMID 12345678, doi:10.1056/NEJMoa2001017, ISBN 978-3-16-148410-0, NCT01234567, version 2.11.2019a.",
    "What is the name of this sign? The patient's name for the pain was a burning. Name the nerve that is hurt.",
    "Parkinson disease, Wilson disease, Down syndrome, St. John's wort, the Glasgow scale, a Charcot joint, Dr No.",
    "Karyotype 47,XXY; 46,XX,t(9;22)(q34;q11); +21; pH 7.35-7.45; Gleason 3+4=7; G2P1; Apgar 9 and 10.",
    "血压120/80mmHg，体温37.8℃，白细胞12.3×10^9/L，患者男，45岁，第3腰椎，T12骨折，剂量5-10mg/kg。",
    "住院3天，门诊随访12个月，检查发现肿物大小2.3×4.5cm，病理号未提供；90岁以上者占12%。",
    "She has had a fever since March and returned from Texas in 2019; call 911; the phone rang twice.",
    "Insurance covers 80000 dollars; visit number three; case number one; hospital unit 4; chart review of 1,200.",
    "Address the cause first. The address of the enzyme is the matrix. E-mail was sent @ noon. 5 @ 10 mg.",
)
"""Texts that hold no identifier and look as if they might."""


def planted_texts(count: int, *, seed: int = 0) -> list[Planted]:
    """`count` texts of each form."""
    found = []
    for kind, forms in FORMS.items():
        for form, make in forms.items():
            rng = random.Random(f"{seed} {kind} {form}")
            for number in range(count):
                around, value = make(rng)
                around = CLEAN[number % 9] + " " + ("\n" if form.startswith("Name:") else "") + around
                text = around.replace("{{", "{").replace("}}", "}").replace("{}", value)
                found.append(Planted(kind, form, text, value))
    return found


def _png(image: Image.Image, **chunks: str) -> bytes:
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        info.add_text(key, value)
    image.save(out, "PNG", pnginfo=info, compress_level=1)
    return out.getvalue()


def _exif(image: Image.Image, tag: int, value: str | bytes, *, inner: bool = False) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    (exif.get_ifd(0x8769) if inner else exif)[tag] = value
    image.convert("RGB").save(out, "JPEG", exif=exif, quality=90)
    return out.getvalue()


def _compressed(image: Image.Image, text: str) -> bytes:
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Comment", text, zip=True)
    image.save(out, "PNG", pnginfo=info, compress_level=1)
    return out.getvalue()


def _commented(image: Image.Image, text: str) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", comment=text, quality=90)
    return out.getvalue()


def _with_xmp(image: Image.Image, text: str) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", xmp=text.encode(), quality=90)
    return out.getvalue()


def _international(image: Image.Image, key: str, text: str) -> bytes:
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_itxt(key, text, zip=True)
    image.save(out, "PNG", pnginfo=info, compress_level=1)
    return out.getvalue()


def _placed(image: Image.Image) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    exif.get_ifd(0x8825)[2] = (42.0, 21.0, 30.0)
    image.convert("RGB").save(out, "JPEG", exif=exif, quality=90)
    return out.getvalue()


HEADERS: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "png tEXt PatientName": ("name", lambda i: _png(i, PatientName="LOPEZ^MARIA")),
    "png tEXt Patient ID": ("record_number", lambda i: _png(i, **{"Patient ID": "00471193"})),
    "png tEXt Description": ("name", lambda i: _png(i, Description="Patient's Name: Maria Lopez")),
    "png tEXt (0010,0030)": ("birth_date", lambda i: _png(i, **{"(0010,0030)": "19560312"})),
    "png zTXt dump": ("name", lambda i: _compressed(i, "(0010,0010) PN [LOPEZ^MARIA]\n(0008,0060) CS [CT]")),
    "png iTXt 姓名": ("name", lambda i: _international(i, "Comment", "患者姓名：王秀英")),
    "exif ImageDescription": ("record_number", lambda i: _exif(i, 0x010E, "chest film, MRN: 0047119")),
    "exif UserComment": (
        "birth_date",
        lambda i: _exif(i, 0x9286, b"ASCII\0\0\0DOB 12 March 1956", inner=True),
    ),
    "exif UserComment UTF-16": (
        "name",
        lambda i: _exif(i, 0x9286, b"UNICODE\0" + "PatientName=Maria Lopez".encode("utf-16-le"), inner=True),
    ),
    "exif XPComment": ("phone", lambda i: _exif(i, 0x9C9C, "phone 617-555-0188".encode("utf-16-le"))),
    "exif Artist": ("name", lambda i: _exif(i, 0x013B, "Maria Lopez")),
    "exif DateTimeOriginal": ("date", lambda i: _exif(i, 0x9003, "2019:03:12 10:11:12", inner=True)),
    "exif GPS": ("address", _placed),
    "jpeg comment": ("name", lambda i: _commented(i, '{"PatientName": "Lopez, Maria", "Modality": "CR"}')),
    "xmp DICOM": (
        "name",
        lambda i: _with_xmp(i, "<rdf:Description><DICOM:PatientName>Lopez^Maria</DICOM:PatientName>"),
    ),
    "xmp attribute": ("record_number", lambda i: _with_xmp(i, '<rdf:Description DICOM:PatientID="00471193"/>')),
}
"""Headers by name: the kind that they hold, and a function that writes a picture with it."""


def with_header(name: str, image: Image.Image) -> bytes:
    """The picture as a file whose header holds an identifier."""
    return HEADERS[name][1](image)


def burned_in(image: Image.Image, lines: list[str], *, height: int, light: int, corner: int, jpeg: int | None) -> bytes:
    """The picture with lines of text drawn into a corner (0 to 3), as PNG, or as JPEG of a quality."""
    image = image.convert("RGB")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(height)
    width = max(draw.textlength(line, font=font) for line in lines)
    step = round(height * 1.35)
    left = 6 if corner % 2 == 0 else max(0, image.width - int(width) - 6)
    top = 6 if corner < 2 else image.height - step * len(lines) - 6
    for number, line in enumerate(lines):
        draw.text((left, top + number * step), line, fill=(light,) * 3, font=font)
    out = io.BytesIO()
    if jpeg is None:
        image.save(out, "PNG", compress_level=1)
    else:
        image.save(out, "JPEG", quality=jpeg)
    return out.getvalue()
