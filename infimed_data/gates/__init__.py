"""Quality gates: what a right answer's reasoning must also be to be trained on.

trace.py        a trace as gates read it, and what a gate finds
leaks.py  voice.py  reflection.py  agreement.py  shape.py      the gates, by subject
phrases.py      tables of phrases, and where they are looked for

A gate is a function from a trace to None, or to a reason with the text that offends. `findings` runs those that a
manifest leaves on; `highlights` says where a trace reflects. English and Chinese; a trace in any other language meets
only the gates that read no words.
"""

from collections.abc import Callable

from infimed_data.gates.agreement import contradiction
from infimed_data.gates.leaks import answer_leak, unseen_source
from infimed_data.gates.reflection import (
    Highlight,
    empty_reflection,
    highlights,
    no_reflection,
    options_ignored,
    turn_lost,
)
from infimed_data.gates.shape import form, image_ignored, language, length, repetition, several_answers
from infimed_data.gates.trace import Finding, Trace
from infimed_data.gates.voice import persona, refusal
from infimed_data.manifest.generate import Gates

__all__ = ["GATES", "Finding", "Gate", "Highlight", "Trace", "findings", "highlights"]

Gate = Callable[[Trace, Gates], Finding | None]
"""Returns what is wrong with a trace, or None. The settings hold the gates' limits."""

GATES: dict[str, Gate] = {
    "answer_leak": answer_leak,
    "unseen_source": unseen_source,
    "persona": persona,
    "refusal": refusal,
    "empty_reflection": empty_reflection,
    "no_reflection": no_reflection,
    "options_ignored": options_ignored,
    "turn_lost": turn_lost,
    "contradiction": contradiction,
    "several_answers": several_answers,
    "form": form,
    "length": length,
    "repetition": repetition,
    "language": language,
    "image_ignored": image_ignored,
}
"""Name and function. To add a gate, write its function, its line here, and its switch in `manifest.generate.Gates`."""


def findings(trace: Trace, limits: Gates) -> tuple[Finding, ...]:
    """What the gates that are on find wrong with a trace; empty: it passes."""
    found = (gate(trace, limits) for name, gate in GATES.items() if getattr(limits, name))
    return tuple(finding for finding in found if finding is not None)
