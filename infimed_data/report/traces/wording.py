"""Verdicts, gates, refusals and wins in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infimed_data.report.wording import readable
from infimed_data.strategies.candidate import REASONS

__all__ = [
    "DECISIONS_IN_WORDS",
    "ENDED_IN_WORDS",
    "GATES_IN_WORDS",
    "PATTERNS_IN_WORDS",
    "POLICIES_IN_WORDS",
    "ROLES_IN_WORDS",
    "WITHHELD_IN_WORDS",
    "decision_of",
    "ended_of",
    "pattern_in_words",
    "refusal_in_words",
    "why",
]

Fields = Mapping[str, Any]

DECISIONS_IN_WORDS: Mapping[str, str] = {"won": "trained on", "accepted": "accepted, not used", "refused": "refused"}
ENDED_IN_WORDS: Mapping[str, str] = {
    "correct": "right",
    "wrong": "wrong",
    "unverifiable": "cannot be judged",
    "truncated": "cut off",
    "failed": "no answer came",
}
"""How a candidate ended."""
GATES_IN_WORDS: Mapping[str, str] = {
    "answer_leak": "speaks of an answer that was given to it",
    "unseen_source": "cites something that is not in the prompt",
    "persona": "speaks of being an AI, of instructions or a user",
    "refusal": "refuses or sends the reader to a doctor",
    "empty_reflection": "says that it checks, and neither looks at anything nor changes anything",
    "no_reflection": "shows no sign of the reflection that was asked for",
    "options_ignored": "never mentions the wrong options it was to rule out",
    "turn_lost": "no longer tells of its wrong turn and the correction",
    "contradiction": "concludes something else than it answers",
    "several_answers": "gives more than one final answer",
    "form": "is not one block of reasoning and then an answer",
    "length": "is too short or too long",
    "repetition": "says the same over and over",
    "language": "changes its language",
    "image_ignored": "never looks at the image",
}
WITHHELD_IN_WORDS: Mapping[str, str] = {
    "low_tier": "too few of the sample's candidates are right",
    "middle_tier": "only some of the sample's candidates are right, so a rewritten one takes their place",
    "few_verifiable": "too few of the sample's candidates can be judged",
    "not_reconstructed": "a second model could not give the answer from its reasoning alone",
}
POLICIES_IN_WORDS: Mapping[str, str] = {
    "shortest": "the shortest",
    "median_length": "the one nearest to the median length",
    "lowest_entropy": "the one that was surest of its answer",
    "most_diverse": "the one most unlike the others",
    "seeded_random": "drawn by the seed",
}
PATTERNS_IN_WORDS: Mapping[str, str] = {
    "self_check": "self-check",
    "eliminate_options": "eliminate options",
    "alternative_hypothesis": "alternative hypothesis",
    "look_back": "look back",
    "backtrack": "backtrack",
    "verify": "revise: verify",
    "explore": "revise: explore",
    "correct": "revise: correct",
    "": "no pattern",
}
ROLES_IN_WORDS: Mapping[str, str] = {
    "answer": "answer",
    "revise": "revision, told that it was wrong",
    "reveal": "last round, told the gold answer",
    "merge": "merged into one train of thought",
    "reconstruct": "answer from masked reasoning",
    "rewrite": "rewritten with the gold answer",
    "judge": "asked whether the answer means the gold one",
}
_REFUSED: Mapping[str, str] = {
    "wrong": "the answer is wrong",
    "unverifiable": "no rule can tell whether it is right",
    "truncated": "the text is cut off at max_tokens",
    "failed": "nothing came back from the teacher",
    "mark:bad": "a reviewer marked it bad",
}


def decision_of(candidate: Fields) -> str:
    """`won`, `accepted` or `refused`."""
    return "won" if candidate["winner"] is not None else "accepted" if candidate["accepted"] else "refused"


def ended_of(candidate: Fields) -> str:
    """A key of `ENDED_IN_WORDS`, as `summary.ENDED_AS` has it."""
    status = candidate["status"] or ""
    return str(candidate["outcome"] or "") if status == "answered" else status


def pattern_in_words(pattern: str) -> str:
    """A reflection or revision; one that is not known here stands as it is."""
    return PATTERNS_IN_WORDS.get(pattern) or readable(pattern).replace("_", " ")


def refusal_in_words(refusal: str) -> str:
    """What `candidates.refusal` means; empty where it is not known here."""
    kind, _, name = refusal.partition(":")
    words = {"gate": GATES_IN_WORDS, "withheld": WITHHELD_IN_WORDS}.get(kind, {}).get(name, "")
    return words or _REFUSED.get(refusal, "")


def why(candidate: Fields, generated: Fields | None, gold: str) -> str:
    """Why a candidate was kept or refused, in a sentence or two. `gold` and all of data come out readable."""
    sentences = [_because(candidate, generated, readable(gold))]
    overruled = [name for name in candidate["overruled"] or () if name is not None]
    if candidate["mark"] == "good" and candidate["accepted"] and overruled:
        sentences = [f"Let in by a reviewer's mark, against: {_listed(overruled)}."]
        if candidate["winner"] is not None:
            sentences.append(_won(candidate, generated))
    elif candidate["mark"] == "good" and not candidate["accepted"]:
        sentences.append("A reviewer's mark cannot change that; mend the gold answer instead.")
    if candidate["gates"] and not candidate["accepted"] and not (candidate["refusal"] or "").startswith("gate:"):
        sentences.append("A gate objects too." if len(candidate["gates"]) == 1 else "Gates object too.")
    if candidate["gold_revealed"]:
        sentences.append("Written with the gold answer in view.")
    elif candidate["hinted"]:
        sentences.append("Written after being told that a conclusion was wrong.")
    return " ".join(sentences)


def _because(candidate: Fields, generated: Fields | None, gold: str) -> str:
    if candidate["winner"] is not None:
        return f"Right, and no gate objects. {_won(candidate, generated)}"
    if candidate["accepted"]:
        return f"Right, and no gate objects, but not chosen: {_passed_over(candidate, generated)}."
    refusal = candidate["refusal"] or ""
    meaning = REASONS.get(candidate["reason"] or "", readable(candidate["reason"] or ""))
    answer = f"“{readable(candidate['extracted'][:200])}”" if candidate["extracted"] else "nothing"
    if refusal == "mark:bad":
        return "Right, and no gate objects, but a reviewer marked it bad."
    if refusal == "wrong":
        return f"Wrong: it answers {answer}, the gold answer is “{gold}” ({meaning})."
    if refusal == "unverifiable":
        return f"No rule can tell whether {answer} is “{gold}” ({meaning})."
    if refusal == "failed":
        errors = [step["error"] for step in candidate["steps"] or () if step["error"]]
        return "Nothing came back from the teacher" + (f": {readable(errors[-1][:300])}." if errors else ".")
    if refusal == "truncated":
        return f"{meaning[:1].upper()}{meaning[1:]}."
    if refusal.startswith("gate:"):
        names = [finding["gate"] for finding in candidate["gates"] or ()]
        words = "; ".join(GATES_IN_WORDS.get(name) or readable(name) for name in names)
        return f"Right, but {'a gate objects' if len(names) == 1 else 'gates object'}: it {words}."
    if refusal.startswith("withheld:"):
        return f"Right, but held back: {refusal_in_words(refusal) or readable(refusal)}."
    return f"Refused: {readable(refusal) or 'no reason is recorded'}."


def _won(candidate: Fields, generated: Fields | None) -> str:
    accepted = generated["accepted"] if generated else None
    policy = POLICIES_IN_WORDS.get((generated["policy"] if generated else "") or "", "")
    if accepted == 1 or not policy:
        return "The only one accepted, so it is trained on." if accepted == 1 else "It is trained on."
    if candidate["winner"]:
        place = candidate["winner"] + 1
        return f"It is trained on too, as number {place} of {accepted:,} accepted; the first is {policy}."
    return f"It is trained on: {policy} of {accepted:,} accepted."


def _passed_over(candidate: Fields, generated: Fields | None) -> str:
    if candidate["gold_revealed"]:
        return "what saw the gold answer wins only where nothing else does"
    policy = (generated["policy"] if generated else "") or ""
    return f"the winner is {POLICIES_IN_WORDS[policy]}" if policy in POLICIES_IN_WORDS else "another one won"


def _listed(names: list[str]) -> str:
    return "; ".join(refusal_in_words(name) or readable(name) for name in names)
