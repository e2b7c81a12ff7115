"""multi_choice: a set of options is right, without partial credit. Section 4 of the policy.

Decisions where the policy is silent:
- Letters and texts are both read, and name one set together. A letter followed by the text of another option is a
  conflict, and so is a list of letters beside a list of other texts ("A, C (nodule, mass)").
- Lower-case letters count in a list and at the start of a line; joined lower-case letters only in alphabetical order,
  so that "bad" is a word.
- A range of letters ("A-C", "A to C") means all letters in it.
- After a cue that ends its line, a list of letter-and-text lines is read as one answer, not its first line alone.
"""

from __future__ import annotations

import re
from itertools import pairwise

from infimed_data.verify.choice import outside_letters, without_question
from infimed_data.verify.compare import keys, run, trimmed
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

__all__ = ["read"]

_NOTHING = ("no_option", "refusal", "question_copied")
_PREFIX = re.compile(r"(?:(?:both|options?|choices?|letters?|选项|选择)\b ?:? ?){1,2}", re.IGNORECASE)
_LIST = re.compile(
    r"[-•(\[\"' ]{0,3}[A-Za-z][)\]\"'.]{0,2}(?:(?: ?[,、;&+\n] ?|和|及|与| )(?:and )?[(\[\"']?[A-Za-z][)\]\"'.]{0,2})*"
)
_JOINED = re.compile(r"[A-Z]{2,10}|[a-z]{2,10}")
_RANGE = re.compile(r"([A-Ja-j]) ?(?:-|~|to|through|至|到) ?([A-Ja-j])")
_LETTERS = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_LINE_LABEL = re.compile(r"^(?:[-•] ?)?[(\[]?([a-j])[)\].:、]", re.MULTILINE)
_LIST_GAP = re.compile(r"[)\]]?(?: ?[,、;&+] ?|和|及|与| )(?:and )?[(\[]?")
_SAME_ENTRY = re.compile(r"[)\]]? ?[.:、)(\-=]? ?[(\[\"']?")


def read(gold: Gold, text: str, rel_tol: float) -> Reading:
    """The set of options that `text` names, held against the gold set."""
    options = options_of(gold)
    if not options.right:
        return Reading(None, Verdict("unverifiable", "gold_unreadable", None))
    rest = without_question(text, gold.question)
    named = _named(rest, options) if rest else "question_copied"
    if isinstance(named, str):
        if named == "no_option" and is_refusal(text):
            named = "refusal"
        return Reading(None if named in _NOTHING else named, Verdict("wrong", named, None))
    shown = ",".join(LABELS[index] for index in sorted(named))
    if named == options.right:
        return Reading(named, Verdict("correct", "label_match", shown))
    return Reading(named, Verdict("wrong", "other_option", shown))


def _named(text: str, options: Options) -> frozenset[int] | str:
    """The options that `text` names, or the reason why it names no set."""
    plain = trimmed(text)
    letter = lone_letter(plain)
    if letter is not None and letter in LABELS:
        return _labels(letter, options)
    if len(text) <= 2000 and (exact := options.named(keys(text))) is not None:
        return _settled([exact], options)
    if prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    listed = _letter_list(text)
    if listed is not None:
        return _labels(listed, options)
    text = _LINE_LABEL.sub(lambda label: label.group().upper(), text)
    words = run(text if options.refusing else without_refused(text), commas=True)
    found = mentions(words, options)
    counted = [mention for mention in found if not mention.negated]
    if len(found) > MAX_MENTIONS:
        return "several_options"
    if outside_letters(words.text, counted):
        return "label_outside"
    if alternatives_at(words.text, found):
        return "alternatives"
    return _set(words.text, [mention for mention in counted if mention.options], options)


def _letter_list(text: str) -> str | None:
    """The letters of a text that is nothing but a list of letters."""
    plain = text.strip(" \n.,;:!?'\"。")
    bare = plain.strip("()[]")
    if _JOINED.fullmatch(bare) and (bare.isupper() or "".join(sorted(set(bare))) == bare):
        return bare.upper() if set(bare.upper()) <= {*LABELS} else None
    if span := _RANGE.fullmatch(plain):
        first, last = (LABELS.index(end.upper()) for end in span.groups())
        return LABELS[first : last + 1] or None
    if len(plain) <= 200 and _LIST.fullmatch(plain):
        return "".join(_LETTERS.findall(plain)).upper()
    return None


def _labels(letters: str, options: Options) -> frozenset[int] | str:
    named = frozenset(LABELS.find(letter) for letter in letters)
    return named if min(named) >= 0 and max(named) < len(options.texts) else "label_outside"


def _set(text: str, found: list[Mention], options: Options) -> frozenset[int] | str:
    """The set that letters and texts name together, if they agree."""
    paired: set[int] = set()
    for index, (first, second) in enumerate(pairwise(found)):
        if second.letter or not first.letter or _ends_a_list(text, found, index):
            continue
        gap = text[first.end : second.start]
        bracketed = gap.endswith("(") and text[second.end : second.end + 1] != ")"
        if not bracketed and _SAME_ENTRY.fullmatch(gap):
            if not first.options & second.options:
                return "letter_text_conflict"
            paired |= {index, index + 1}
    letters = frozenset[int]().union(*(mention.options for mention in found if mention.letter))
    texts = _settled([mention.options for mention in found if not mention.letter], options, letters)
    if not letters | texts:
        return "no_option"
    alone = [mention for index, mention in enumerate(found) if index not in paired]
    lists = [{mention.options for mention in alone if mention.letter is kind} for kind in (True, False)]
    if min(map(len, lists)) > 1 and letters != texts:
        return "letter_text_conflict"
    return letters | texts


def _ends_a_list(text: str, found: list[Mention], index: int) -> bool:
    """Whether the letter at `index` follows other letters, as C in "A, C: effusion, fracture"."""
    if not index or not found[index - 1].letter:
        return False
    return _LIST_GAP.fullmatch(text[found[index - 1].end : found[index].start]) is not None


def _settled(named: list[frozenset[int]], options: Options, letters: frozenset[int] = frozenset()) -> frozenset[int]:
    """One position for each text: of a repeated one those that a letter names, else those in the gold set."""
    settled: set[int] = set()
    for at in named:
        settled |= (at & letters) or (at & options.right) or {min(at)}
    return frozenset(settled)
