"""open: only word-for-word equality is certain; all else needs a judge. Section 8 of the policy."""

from __future__ import annotations

from infimed_data.verify.compare import phrase, trimmed
from infimed_data.verify.verdict import Gold, Reading, Verdict

__all__ = ["read"]


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """Whether `text` equals the gold."""
    shown = trimmed(text)
    if not phrase(gold.answer).text:
        return Reading(shown, Verdict("unverifiable", "gold_unreadable", shown))
    if phrase(gold.answer).equals(text):
        return Reading(shown, Verdict("correct", "exact_text", shown))
    return Reading(shown, Verdict("unverifiable", "open_answer", shown))
