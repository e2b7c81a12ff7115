"""Traces a second of CPU time through all gates, and the time that hostile text of 200,000 characters takes.

    python tests/benchmarks/bench_gates.py

One process. A trace is about 400 words (or 400 Chinese characters) of sentences drawn without repeats, with two that
reflect, one that names options and one that concludes, as a teacher's reasoning has them; `plain` reflects nowhere.
`clean` is the tests' labelled clean sentences alone, close to every gate on purpose: the slowest text that passes.
"""

from __future__ import annotations

import json
import platform
import random
import re
import time
from pathlib import Path

from infimed_data.gates import GATES, Trace, findings
from infimed_data.manifest.generate import Gates

LIMITS = Gates()
TRACES = 300
WORDS = 400
HOSTILE_CHARS = 200_000
CASES = Path(__file__).parents[1] / "gate_cases.jsonl"

ENGLISH = """
The film was taken with the patient upright, as the bubble of gas under the left dome shows.
The heart is a little broader than half of the chest, and its left border is straight.
Above the left diaphragm the lung is denser than on the other side.
The density has a concave upper border that rises toward the lateral wall.
Behind the heart the vessels can still be followed down to the diaphragm.
The trachea lies in the middle, so neither side is pulled in or pushed away.
Both hila have their usual height, the left one a finger above the other.
The ribs run smoothly, and no step interrupts their lower edge.
Fluid gathers at the lowest place first, and in an upright chest that is the angle.
A consolidation would keep the shape of a lobe and let air in the bronchi stand out.
A collapse would draw the fissure down and the mediastinum over.
The border of a mass would be round, and it would not follow the wall.
Air between lung and wall would leave a dark rim without any markings.
The soft tissue of the chest wall is symmetric, and no clip or wire is seen.
The right side serves as a comparison: its angle is sharp and black.
In the upper zones the vessels are thin, as they should be in a standing person.
The aortic knob is visible, and no calcium lines its wall.
The stomach bubble sits close under the diaphragm, which is a sign of normal thickness there.
The spine is seen through the heart, so the exposure is right.
What remains is a band that hides the outer third of the diaphragm.
Its density is even, without holes and without levels of fluid.
Such a band thickens when somebody lies on that side.
An old scar of the pleura can look alike, though it seldom has a meniscus.
The amount must be a few hundred millilitres, for less would not reach above the dome.
Heart failure tends to fill the right side first, or both sides at once.
An infection of the lung below would add haze with blurred borders.
The diaphragm itself may stand high when the phrenic nerve fails.
In that case its outline would be convex and sharp from end to end.
Here the outline is lost at the side and kept near the spine.
The bone of the shoulder casts a line over the apex that ends outside the lung.
""".strip().split("\n")
REFLECTING = """
Wait, a high diaphragm would hide the angle too, so its dome has to be found first.
Let me double-check the apex: markings reach the wall there, and no rim of air is left.
Looking again at the side wall, the band is thickest at the bottom and tapers upward.
Could it be a scar instead? A scar would not be concave at its top.
Hmm, the curve might come from the breast shadow, but that one crosses the wall.
""".strip().split("\n")
NAMING = (
    "Option A would need a free edge of lung, and option C a step in a rib.",
    "Pneumothorax is ruled out, and a rib fracture does not change the angle.",
)
CONCLUDING = ("So the answer is B.", "Pleural effusion is therefore the answer that explains all of it.")
CHINESE = (
    """
胸片为立位摄片，左膈下可见胃泡气体。心影略大，左缘平直。左膈上方肺野的密度高于对侧。这片致密影的上缘呈弧形，向侧胸壁爬升。
心影后方的血管仍可追踪到膈面。气管居中，说明两侧既没有牵拉也没有推挤。两侧肺门高度正常。各肋骨走行光滑，下缘没有台阶。
液体总是先聚集在最低处，立位时就是肋膈角。实变会保持肺叶的形状，其中可见含气的支气管。肺不张会使叶间裂下移，纵隔偏向患侧。
肿块的边缘应当是圆形的，不会沿着胸壁走行。胸壁软组织对称。右侧可以作为对照，它的肋膈角锐利。上肺野血管纤细。
主动脉结清楚，壁上没有钙化。脊柱透过心影可见，曝光合适。剩下的是一条遮住膈面外三分之一的带状影。它的密度均匀，没有空洞。
陈旧的胸膜瘢痕也有类似的表现，只是很少有弧形的上缘。液体量估计有数百毫升。心力衰竭多先累及右侧。
膈肌麻痹时膈面抬高，轮廓应当是凸的。这里的轮廓在外侧消失，在靠近脊柱处保留。肩胛骨的边缘在肺尖处形成一条线。
""".strip()
    .replace("\n", "")
    .replace("。", "。\n")
    .split()
)
REFLECTING_ZH = (
    "等等，膈肌抬高也会使肋膈角消失，需要先找到膈顶。",
    "再看侧胸壁，带状影下厚上薄。",
    "会不会是瘢痕？瘢痕不会形成弧形的上缘。",
)
NAMING_ZH = ("选项A应有游离的肺边缘，可以排除。",)
CONCLUDING_ZH = ("因此答案是B。",)
HOSTILE = (
    "the answer ", "given the ", "wait, ", "let me check ", "according to the ", "left ", "no effusion ",
    "answer is B. ", "report ", "the user ", "a b ", "A. ", "\n", "<think>", "<answer>", "<", "[", "\\boxed{",
    "因此左", "答案", "的", "re-", "but ", "if ", " ", ".", "re-exam", "rule them ", "could also ", "aaaaaaaa",
    "the clinical ", "i cannot ",
)  # fmt: skip


def main() -> None:
    """Prints the rates, the cost of each gate, and the slowest hostile texts."""
    print(f"Python {platform.python_version()}, {platform.machine()}, one process, CPU time\n")
    for name, make in (("English", english), ("plain", plain), ("Chinese", chinese), ("clean", clean)):
        traces = [make(random.Random(index)) for index in range(TRACES)]
        best = min(timed(traces) for _ in range(5))
        print(f"{name:<10}{TRACES / best:>8,.0f} traces /s")
    print("\nmicroseconds a trace of each gate (English), what they share counted with the first that needs it")
    traces = [english(random.Random(index)) for index in range(TRACES)]
    for name, gate in GATES.items():
        started = time.process_time()
        for trace in traces:
            gate(trace, LIMITS)
        print(f"{name:<20}{(time.process_time() - started) / TRACES * 1e6:>8.1f}")
    print(f"\nhostile, {HOSTILE_CHARS:,} characters of     ms")
    slowest = sorted(((hostile(piece), piece) for piece in HOSTILE), reverse=True)
    for seconds, piece in slowest[:8]:
        print(f"{piece!a:<30}{seconds * 1000:>8.0f}")


def timed(traces: list[Trace]) -> float:
    """CPU seconds of all gates, each trace made for it and forgotten after it."""
    asked = [{name: getattr(trace, name) for name in FIELDS} for trace in traces]
    started = time.process_time()
    for fields in asked:
        findings(Trace(**fields), LIMITS)
    return time.process_time() - started


FIELDS = ("text", "question", "options", "answer_kind", "lang", "image")


def english(rng: random.Random) -> Trace:
    """An English trace."""
    body = rng.sample(ENGLISH, 26)
    for extra in (*rng.sample(REFLECTING, 2), rng.choice(NAMING)):
        body.insert(rng.randrange(5, len(body)), extra)
    text = " ".join([*body, rng.choice(CONCLUDING)])
    options = ("Pneumothorax", "Pleural effusion", "Rib fracture", "Lung mass")
    return Trace(
        text=f"<think>\n{text}\n</think>\n\n<answer>B. Pleural effusion</answer>",
        question="What is shown at the left base?", options=options, answer_kind="choice", lang="en", image=True,
    )  # fmt: skip


def plain(rng: random.Random) -> Trace:
    """An English trace that neither reflects nor names options."""
    fields = {name: getattr(english(rng), name) for name in FIELDS}
    body = " ".join(rng.sample(ENGLISH, 29))
    return Trace(**{**fields, "text": f"<think>\n{body}\n</think>\n\n<answer>B. Pleural effusion</answer>"})


def chinese(rng: random.Random) -> Trace:
    """A Chinese trace."""
    body = rng.sample(CHINESE, 23)
    for extra in (*rng.sample(REFLECTING_ZH, 2), rng.choice(NAMING_ZH)):
        body.insert(rng.randrange(5, len(body)), extra)
    text = "".join([*body, rng.choice(CONCLUDING_ZH)])
    options = ("气胸", "胸腔积液", "肋骨骨折", "肺部肿块")
    return Trace(
        text=f"<think>\n{text}\n</think>\n\n<answer>B. 胸腔积液</answer>",
        question="左侧肺底的表现是什么？", options=options, answer_kind="choice", lang="zh", image=True,
    )  # fmt: skip


def clean(rng: random.Random) -> Trace:
    """A trace of the labelled clean sentences in English."""
    body = rng.sample(_clean_sentences(), 30)
    return Trace(
        **{**{name: getattr(english(rng), name) for name in FIELDS}, "text": f"<think>{' '.join(body)}</think>B"}
    )


def _clean_sentences() -> list[str]:
    cases = map(json.loads, CASES.read_text("utf-8").splitlines())
    texts = [case["text"] for case in cases if not case["gates"] and case["lang"] == "en"]
    return sorted({piece.strip() for text in texts for piece in re.findall(r"[^.<>]+\.", text) if len(piece) > 40})


def hostile(piece: str) -> float:
    """CPU seconds that all gates take for a long text of nothing but `piece`."""
    body = piece * (HOSTILE_CHARS // len(piece))
    trace = Trace(
        text=f"<think>{body}</think><answer>B</answer>",
        question="Is there an effusion?",
        options=("Left lung", "Right lung"),
        answer_kind="choice",
        pattern="eliminate_options",
        wrong=("A. Left lung",),
    )
    started = time.process_time()
    findings(trace, Gates(no_reflection=True, image_ignored=True))
    return time.process_time() - started


if __name__ == "__main__":
    main()
