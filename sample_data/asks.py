"""Questions about a drawn `Scene` whose answers need the picture, in English and Chinese.

>>> questions(Scene("xray", (Finding("disc", "left", count=2),)))[6]
Ask(question='How many opacities are there?', answer='2', kind='count', topic='COUNT', ...)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from phantoms import SHAPES, SIDES, Finding, Modality, Scene, Shape, Side, Size

Kind: TypeAlias = Literal["yes_no", "choice", "count", "short_text"]
Lang: TypeAlias = Literal["en", "zh"]


@dataclass(frozen=True)
class Ask:
    """One question about one picture, with its only right answer."""

    question: str
    answer: str
    kind: Kind
    topic: str
    """VQA-RAD's question type: PRES, COUNT, POS, SIZE, ATTRIB, MODALITY, ORGAN, ABN."""
    options: tuple[str, ...] = ()
    """The choices of a `choice`, the answer among them; empty for the other kinds."""
    rephrased: tuple[str, ...] = ()
    """Other wordings with the same answer."""


_WORDS: Final[dict[Lang, dict[Modality, dict[str, str]]]] = {
    "en": {
        "xray": {
            "a": "an opacity", "one": "opacity", "many": "opacities", "right": "the right lung",
            "left": "the left lung", "middle": "Is the heart enlarged?", "middle2": "Is the heart shadow too wide?",
        },
        "ct": {
            "a": "a dense lesion", "one": "dense lesion", "many": "dense lesions", "right": "the right hemisphere",
            "left": "the left hemisphere", "middle": "Are the lateral ventricles dilated?",
            "middle2": "Is there enlargement of the lateral ventricles?",
        },
        "mri": {
            "a": "a bright lesion", "one": "bright lesion", "many": "bright lesions", "right": "the liver",
            "left": "the spleen", "middle": "Is the aorta dilated?", "middle2": "Is the aorta wider than normal?",
        },
        "us": {
            "a": "an echogenic focus", "one": "echogenic focus", "many": "echogenic foci",
            "right": "the tissue on the patient's right", "left": "the tissue on the patient's left",
            "middle": "Is the gallbladder distended?", "middle2": "Is the gallbladder larger than normal?",
        },
    },
    "zh": {
        "xray": {
            "a": "阴影", "one": "阴影", "many": "阴影", "right": "右肺", "left": "左肺",
            "middle": "心脏是否增大？", "middle2": "心影是否过宽？",
        },
        "ct": {
            "a": "高密度病灶", "one": "高密度病灶", "many": "高密度病灶",
            "right": "右侧大脑半球", "left": "左侧大脑半球",
            "middle": "侧脑室是否扩张？", "middle2": "侧脑室是否变大？",
        },
        "mri": {
            "a": "高信号病灶", "one": "高信号病灶", "many": "高信号病灶", "right": "肝脏", "left": "脾脏",
            "middle": "主动脉是否扩张？", "middle2": "主动脉是否变宽？",
        },
        "us": {
            "a": "强回声灶", "one": "强回声灶", "many": "强回声灶", "right": "患者右侧组织", "left": "患者左侧组织",
            "middle": "胆囊是否胀大？", "middle2": "胆囊是否比正常大？",
        },
    },
}  # fmt: skip

_WORDINGS: Final[dict[Lang, dict[str, tuple[str, ...]]]] = {
    "en": {
        "modality": ("What imaging modality is this?", "How was this image made?", "What kind of scan is shown?"),
        "modality_choice": ("Which of these modalities produced the image?",),
        "body": ("Which part of the body is shown?", "What body region does this image show?"),
        "normal": ("Is this image normal?", "Does this image look normal?"),
        "middle": ("{middle}", "{middle2}"),
        "present": ("Is there {a} in {place}?", "Does {place} show {a}?", "Can {a} be seen in {place}?"),
        "count": ("How many {many} are there?", "What is the number of {many}?", "How many {many} can be counted?"),
        "side": ("On which side of the patient are the {many}?", "Where do the {many} lie, right or left?"),
        "shape": ("What is the shape of each {one} in {place}?", "In {place}, what shape does each {one} have?"),
        "is_shape": ("Is each {one} in {place} {shape}?", "Does each {one} in {place} look {shape}?"),
        "size": (
            "Is each {one} in {place} larger or smaller than the calibration bar?",
            "Compared with the calibration bar, is each {one} in {place} larger or smaller?",
        ),
        "more": ("Which side of the patient has more {many}?", "On which side are there more {many}?"),
    },
    "zh": {
        "modality": ("这张图像的成像方式是什么？", "这张图是用什么方式拍摄的？"),
        "modality_choice": ("以下哪一种方式生成了这张图像？",),
        "body": ("图中显示的是身体的哪个部位？", "这张图拍的是身体哪一部分？"),
        "normal": ("这张图像是否正常？", "这张图看上去正常吗？"),
        "middle": ("{middle}", "{middle2}"),
        "present": ("{place}有没有{a}？", "{place}里能看到{a}吗？"),
        "count": ("图中一共有几个{many}？", "{many}的数量是多少？"),
        "side": ("{many}位于患者的哪一侧？", "{many}在患者左侧还是右侧？"),
        "shape": ("{place}的{one}是什么形状？", "{place}中每个{one}呈什么形状？"),
        "is_shape": ("{place}的{one}是{shape}吗？", "{place}的{one}看起来是{shape}吗？"),
        "size": ("{place}的{one}比标尺大还是小？", "和标尺相比，{place}的{one}更大还是更小？"),
        "more": ("患者哪一侧的{many}更多？", "{many}在哪一侧更多？"),
    },
}

_MODALITY: Final[dict[Lang, dict[Modality, str]]] = {
    "en": {"xray": "X-ray", "ct": "CT", "mri": "MRI", "us": "Ultrasound"},
    "zh": {"xray": "X光", "ct": "CT", "mri": "MRI", "us": "超声"},
}
_BODY: Final[dict[Lang, dict[Modality, str]]] = {
    "en": {"xray": "Chest", "ct": "Head", "mri": "Abdomen", "us": "Abdomen"},
    "zh": {"xray": "胸部", "ct": "头部", "mri": "腹部", "us": "腹部"},
}
_SHAPE: Final[dict[Lang, dict[Shape, str]]] = {
    "en": {"disc": "Round", "ring": "Ring-shaped", "bar": "Linear", "triangle": "Triangular"},
    "zh": {"disc": "圆形", "ring": "环形", "bar": "条形", "triangle": "三角形"},
}
_SIDE: Final[dict[Lang, dict[str, str]]] = {
    "en": {"right": "Right", "left": "Left", "both": "Both", "neither": "Neither"},
    "zh": {"right": "右侧", "left": "左侧", "both": "两侧", "neither": "都没有"},
}
_SIZE: Final[dict[Lang, dict[Size, str]]] = {
    "en": {"small": "Smaller", "large": "Larger"},
    "zh": {"small": "更小", "large": "更大"},
}
_YES_NO: Final[dict[Lang, tuple[str, str]]] = {"en": ("Yes", "No"), "zh": ("是", "否")}
_HAS_NOT: Final = ("有", "没有")
"""How Chinese answers whether something is there."""


def questions(scene: Scene, lang: Lang = "en") -> list[Ask]:
    """Every question that the picture of a scene answers, in a fixed order; 8 without findings, up to 15 with two.

    Counts are digits. Yes/no answers are Yes and No, in Chinese 是 and 否 or 有 and 没有. Sides are the patient's.
    """
    words = _WORDS[lang][scene.modality]
    yes, no = _YES_NO[lang]
    by_side: dict[Side, Finding] = {finding.side: finding for finding in scene.findings}

    def ask(
        wording: str,
        answer: str,
        kind: Kind,
        topic: str,
        options: tuple[str, ...] = (),
        place: str = "",
        shape: str = "",
    ) -> Ask:
        first, *others = (text.format(**words, place=place, shape=shape) for text in _WORDINGS[lang][wording])
        return Ask(first, answer, kind, topic, options, tuple(others))

    def yes_no(wording: str, true: bool, topic: str, place: str = "", shape: str = "") -> Ask:
        has = lang == "zh" and wording == "present"
        answer = (_HAS_NOT if has else (yes, no))[0 if true else 1]
        return ask(wording, answer, "yes_no", topic, place=place, shape=shape)

    modality = _MODALITY[lang]
    asks = [
        ask("modality", modality[scene.modality], "short_text", "MODALITY"),
        ask("modality_choice", modality[scene.modality], "choice", "MODALITY", tuple(modality.values())),
        ask("body", _BODY[lang][scene.modality], "short_text", "ORGAN"),
        yes_no("normal", not scene.findings and not scene.enlarged, "ABN"),
        yes_no("middle", scene.enlarged, "SIZE"),
        *(yes_no("present", side in by_side, "PRES", place=words[side]) for side in SIDES),
        ask("count", str(sum(finding.count for finding in scene.findings)), "count", "COUNT"),
    ]
    if not scene.findings:
        return asks
    sides = _SIDE[lang]
    where = "both" if len(by_side) == 2 else scene.findings[0].side
    asks.append(ask("side", sides[where], "choice", "POS", tuple(sides.values())))
    for finding in scene.findings:
        place, shape = words[finding.side], _SHAPE[lang][finding.shape]
        # a wrong shape for every other count, so that the yes/no question has both answers
        claimed = SHAPES[(SHAPES.index(finding.shape) + finding.count % 2) % len(SHAPES)]
        claim = _SHAPE[lang][claimed].lower()
        asks += [
            ask("shape", shape, "choice", "ATTRIB", tuple(_SHAPE[lang].values()), place=place),
            yes_no("is_shape", claimed == finding.shape, "ATTRIB", place=place, shape=claim),
            ask("size", _SIZE[lang][finding.size], "choice", "SIZE", tuple(_SIZE[lang].values()), place=place),
        ]
    if len(by_side) == 2 and by_side["right"].count != by_side["left"].count:
        more_side: Side = max(SIDES, key=lambda side: by_side[side].count)
        asks.append(ask("more", sides[more_side], "choice", "POS", (sides["right"], sides["left"])))
    return asks


_LOOK: Final[dict[Modality, tuple[str, str, str]]] = {
    "xray": ("chest X-ray", "The heart is enlarged.", "The heart is of normal size."),
    "ct": ("axial CT of the head", "The lateral ventricles are dilated.", "The ventricles are of normal width."),
    "mri": ("axial MRI of the abdomen", "The aorta is dilated.", "The aorta is of normal width."),
    "us": ("ultrasound of the abdomen", "The gallbladder is distended.", "The gallbladder is of normal size."),
}


def describe(scene: Scene) -> str:
    """A caption in two to four sentences with every fact of the scene."""
    look, wide, normal = _LOOK[scene.modality]
    words = _WORDS["en"][scene.modality]
    sentences = [f"This is an {look}." if look[0] in "aeiou" else f"This is a {look}."]
    for finding in scene.findings:
        verb, noun = ("is 1", words["one"]) if finding.count == 1 else (f"are {finding.count}", words["many"])
        shape = _SHAPE["en"][finding.shape].lower()
        sentences.append(f"There {verb} {finding.size} {shape} {noun} in {words[finding.side]}.")
    if not scene.findings:
        sentences.append(f"No {words['one']} is seen on either side.")
    sentences.append(wide if scene.enlarged else normal)
    return " ".join(sentences)
