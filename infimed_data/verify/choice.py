"""choice: one option is right. Section 3 of the policy.

Decisions where the policy is silent:
- Letters from A to J count as labels in a sentence, whether or not there are so many options, when they stand in a list
  with another label ("B, F"); alone they name nothing ("hepatitis F", "F wave"). A *leading* letter is any letter.
- A word such as "option" or 选项 before the leading letter is skipped.
- A letter that contradicts its own text ("B. Not the pons") is a conflict.
- A copy of the question before the answer is skipped; the question alone names nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache

from infimed_data.verify.clean import clean
from infimed_data.verify.compare import Run, keys, run, trimmed
from infimed_data.verify.hedges import is_refusal, without_refused
from infimed_data.verify.options import (
    MAX_MENTIONS,
    Mention,
    Options,
    alternatives_at,
    lone_letter,
    mentions,
    options_of,
)
from infimed_data.verify.verdict import LABELS, Gold, Reading, Verdict

__all__ = ["leading_letter", "outside_letters", "read", "without_question"]

_NOTHING = ("no_option", "refusal", "question_copied")
_PREFIX = re.compile(r"(?:(?:the |correct |my )?(?:option|choice|letter)|选项|选择)\b ?:? ?", re.IGNORECASE)
_LEADING = re.compile(
    r"[-•\"' ]{0,4}(?:[(\[{【〔] ?([A-Za-z]) ?[)\]}】〕]|([A-Za-z]) ?(?:[.):、。\]](?![A-Za-z]\.)|(?=\n)|$))[\"' ]{0,2}"
)
_LETTERS_ONLY = re.compile(r"[(\[]?[A-J][)\].]?(?:[ ,/&+、和或;\n]{1,3}(?:and |or )?[(\[]?[A-J][)\].]?){1,40}")
_CAPITAL = re.compile("[A-J]")
_OR = re.compile("or|[/或]")
_LIST_GAP = re.compile(r"[)\]]?[ ,/&+、和或;]{1,4}(?:and |or )?[(\[]?")


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """The option that `text` names, held against the gold option."""
    options = options_of(gold)
    if not options.right:
        return Reading(None, Verdict("unverifiable", "gold_unreadable", None))
    rest = without_question(text, gold.question)
    named = _named(rest, options, gold.question) if rest else "question_copied"
    if isinstance(named, str):
        if named == "no_option" and is_refusal(text):
            named = "refusal"
        value = None if named in _NOTHING else named
        return Reading(value, Verdict("wrong", named, None))
    (right,) = options.right
    label = ",".join(LABELS[index] for index in sorted(named))
    twins = options.twins[right]
    text_of = options.twins[min(named)]
    if named == {right}:
        return Reading(text_of, Verdict("correct", "label_match", label))
    if named <= twins:
        return Reading(text_of, Verdict("unverifiable", "duplicate_option", label))
    return Reading(text_of, Verdict("wrong", "other_option", label))


@lru_cache(maxsize=8192)
def _asked(question: str) -> str:
    return " ".join(clean(question).casefold().split())


def without_question(text: str, question: str) -> str:
    """`text` without a copy of the question at its start."""
    asked = _asked(question)
    if len(asked) < 8 or len(text) < len(asked):
        return text
    given = text.replace("\n", " ").casefold()
    if not given.startswith(asked):
        return text
    return text[len(asked) :].lstrip(" ?\n") if len(given) == len(text) else given[len(asked) :].lstrip(" ?")


def _is_part_of(question: str, text: str) -> bool:
    """Whether `text` does no more than repeat most of the question."""
    asked = _asked(question)
    return len(text) * 5 >= len(asked) * 4 > 100 and text.replace("\n", " ").casefold().rstrip(" ?.") in asked


def _named(text: str, options: Options, question: str) -> frozenset[int] | str:
    """The option that `text` names (all its positions where its text is repeated), or the reason why there is none."""
    plain = trimmed(text)
    letter = lone_letter(plain)
    if letter is not None and (letter in LABELS or options.named((plain,)) is None):
        return _label(letter, options)
    if len(text) <= 2000 and (exact := options.named(keys(text))) is not None:
        return exact
    if prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    if leading := _LEADING.match(text):
        labelled = _label(_letter_of(leading), options)
        said = options.named(keys(text[leading.end() :]))
        if said is not None and not isinstance(labelled, str):  # by far the most common answer: a letter with a text
            return labelled if labelled <= said else "letter_text_conflict"
    if _LETTERS_ONLY.fullmatch(text) and len({*_CAPITAL.findall(text)}) > 1:
        return "alternatives" if _OR.search(text) else "several_options"
    words = run(text if options.refusing else without_refused(text), commas=True)
    found = mentions(words, options)
    if len(found) > MAX_MENTIONS:
        return "several_options"
    leading = leading_letter(words, found)
    if leading is not None:
        return _with_leading(leading, words, found, options)
    if found and _is_part_of(question, text):
        return "question_copied"
    counted = [mention for mention in found if not mention.negated]
    if outside_letters(words.text, counted):
        return "several_options"
    if alternatives_at(words.text, found):
        return "alternatives"
    return _one([mention.options for mention in counted if mention.options])


def _letter_of(leading: re.Match[str]) -> str:
    return (leading.group(1) or leading.group(2)).upper()


def _label(letter: str, options: Options) -> frozenset[int] | str:
    index = LABELS.find(letter)
    return frozenset({index}) if 0 <= index < len(options.texts) else "label_outside"


def leading_letter(words: Run, found: list[Mention]) -> re.Match[str] | None:
    """The match of a letter that opens the text as a label, unless it begins an option text such as `E. coli`."""
    leading = _LEADING.match(words.text)
    if leading is None:
        return None
    at = leading.start(1) if leading.group(1) else leading.start(2)
    begins_a_text = any(not mention.letter and mention.start <= at < mention.end for mention in found[:2])
    return None if begins_a_text else leading


def _with_leading(leading: re.Match[str], words: Run, found: list[Mention], options: Options) -> frozenset[int] | str:
    """The option of a leading letter, if the text after it names no other."""
    named = _label(_letter_of(leading), options)
    after = [mention for mention in found if mention.start >= leading.end() and mention.options]
    if any(isinstance(named, str) or not mention.options & named for mention in after if not mention.negated):
        others = {mention.options for mention in after if mention.letter and not mention.negated}
        return "several_options" if len(others) > 1 else "letter_text_conflict" if after else "label_outside"
    if isinstance(named, str):
        return named
    if after and all(mention.negated and mention.options & named for mention in after):
        return "letter_text_conflict"
    if alternatives_at(words.text, [mention for mention in found if mention.start < leading.end()]):
        return "alternatives"
    return named


def outside_letters(text: str, found: list[Mention]) -> bool:
    """Whether a letter that is no option stands in a list with a mention that counts."""
    for index, mention in enumerate(found):
        if mention.options:
            continue
        for first, second in ((index - 1, index), (index, index + 1)):
            if first >= 0 and second < len(found) and _LIST_GAP.fullmatch(text[found[first].end : found[second].start]):
                return True
    return False


def _one(named: list[frozenset[int]]) -> frozenset[int] | str:
    if not named:
        return "no_option"
    left = frozenset.intersection(*named)
    return left or "several_options"
