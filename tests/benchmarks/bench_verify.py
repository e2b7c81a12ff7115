"""Verdicts a second of CPU time by kind of answer, and the time that hostile text of a million characters takes.

    python tests/benchmarks/bench_verify.py

One process. Completions are a reasoning of about 300 words with an answer, or an answer alone, in a few forms each;
"cold" counts the first look at each of 500 samples, whose gold side is then made ready, "warm" the looks after it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator

from infimed_data.verify import Gold, verify

SAMPLES = 500
HOSTILE_CHARS = 1_000_000
SENTENCE = (
    "The film shows a rounded density in the lower zone with a smooth edge; option A would need calcium (p < 0.05), "
    "while B fits its place and contrast better, so I look at the pleura once more. "
)
REASONING = {
    "after 300 words": "<think>\n" + SENTENCE * 8 + "\n</think>\n\n",
    "after 400 Chinese characters": "<think>\n"
    + "右下肺野见圆形影，边缘光滑，选项A需要钙化，而B更合适，再看胸膜。" * 12
    + "\n</think>\n\n",
    "alone": "",
}
OPTIONS = ("Right lower lobe", "Left lower lobe", "Pleural cavity", "Mediastinum")
CASES: dict[str, tuple[Callable[[int], Gold], tuple[str, ...]]] = {
    "choice": (
        lambda i: Gold(f"Where is density {i}?", OPTIONS, OPTIONS[i % 4], "ABCD"[i % 4], "choice"),
        ("<answer>B</answer>", "<answer>B. Left lower lobe</answer>", "\\boxed{C}", "The answer is A.", "D",
         "It is in the mediastinum."),
    ),
    "multi_choice": (
        lambda i: Gold(f"Where are densities {i}?", OPTIONS, "; ".join(OPTIONS[:2]), "A,B", "multi_choice"),
        ("<answer>A, B</answer>", "<answer>A. Right lower lobe\nB. Left lower lobe</answer>", "AB",
         "Mediastinum and pleural cavity"),
    ),
    "yes_no": (
        lambda i: Gold(f"Is density {i} new?", (), "yes", None, "yes_no"),
        ("<answer>yes</answer>", "<answer>No</answer>", "Yes, it is.", "No, the lungs are clear.", "No mass is seen."),
    ),
    "number": (
        lambda i: Gold(f"How large is density {i}?", (), f"{i}.5 cm", None, "number"),
        ("<answer>2.5 cm</answer>", "It measures about 25 mm.", "\\boxed{3}", "two", "<answer>10-20 mm</answer>"),
    ),
    "short_text": (
        lambda i: Gold(f"Where is density {i}?", (), "left lower lobe" + "." * i, None, "short_text"),
        ("<answer>left lower lobe</answer>", "<answer>right lower lobe</answer>", "The lobe of the left lung", "rib"),
    ),
    "open": (
        lambda i: Gold(f"Describe density {i}.", (), "A round density with a smooth edge" + "." * i, None, "open"),
        ("<answer>A round density with a smooth edge.</answer>", "There is a density; its edge is smooth."),
    ),
}  # fmt: skip
PIECES = (
    *(
        "\\boxed{",
        " ",
        "<think>",
        "</think>",
        "<answer>",
        "<answer>B</answer>",
        "9",
        "9 ",
        "\u0301\u0316",
        "a\u0301",
        "½",
    ),
    *(
        "answer is ",
        "answer:\n",
        "A B C D ",
        "A or B ",
        "选B",
        "答案是",
        "left lung ",
        "not ",
        "yes no ",
        "<",
        "{",
        "*",
    ),
    *("\\", "-", "1-", "x", "T2 ", "5 cm ", "\ud800", "\u202e", "\x00", "\ufdfa", "和", "无法", "😀", '"', "\n"),
)


def main() -> None:
    """Prints both tables."""
    print(f"Python {platform.python_version()}, {platform.machine()}, one process, CPU time\n")
    print(f"{'kind':<13}{'completion':<30}{'cold /s':>10}{'warm /s':>10}")
    for kind, (make, answers) in CASES.items():
        for name, reasoning in REASONING.items():
            completions = [reasoning + answer for answer in answers]
            golds = [make(index)._replace(lang=name) for index in range(SAMPLES)]  # none has been seen before
            cold = rate(golds, completions[:1])
            warm = max(rate(golds, completions) for _ in range(3))
            print(f"{kind:<13}{name:<30}{cold:>10,.0f}{warm:>10,.0f}")
    print(f"\n{'hostile, a million characters of':<36}{'slowest ms':>10}  of kinds")
    for name, worst, kind in sorted(hostile(), key=lambda row: -row[1])[:12]:
        print(f"{name:<36}{1000 * worst:>10,.0f}  {kind}")


def rate(golds: list[Gold], completions: list[str]) -> float:
    """Verdicts a second of CPU time."""
    started = time.process_time()
    for gold in golds:
        for completion in completions:
            verify(gold, completion)
    return len(golds) * len(completions) / (time.process_time() - started)


def hostile() -> Iterator[tuple[str, float, str]]:
    """(what is repeated, CPU seconds of the slowest kind, that kind)."""
    for piece in PIECES:
        text = piece * (HOSTILE_CHARS // len(piece))
        times = []
        for kind, (make, _) in CASES.items():
            started = time.process_time()
            verify(make(1), text)
            times.append((time.process_time() - started, kind))
        worst, kind = max(times)
        yield ascii(piece), worst, kind


if __name__ == "__main__":
    main()
