"""The reward functions that TRL is given. All of them say None where the verifier cannot tell.

TRL adds the functions' values up and takes None for 0 unless *every* function says None. So one None in four would make
an undecided answer a wrong one; four Nones take it out of its group's mean and give it no advantage.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from infimed_data.verify import Gold, Verdict, verify
from infimed_train.config import Reward
from infimed_train.rewards.alarms import Batch, Watch

__all__ = ["Judge", "in_form", "repeated_share"]

Values = list[float | None]
RewardFunction = Callable[..., Values]

_ANSWER = re.compile(r"(?P<before>.*)<answer>(?P<answer>.*)</answer>\s*", re.DOTALL)
_THINK = re.compile(r"\s*<think>(?P<thought>.*)</think>\s*", re.DOTALL)
_TAG = re.compile(r"</?(?:think|answer)>")
_WORD = re.compile(r"\w+|[^\w\s]")


def in_form(text: str, form: str) -> bool:
    """Whether a completion has the form asked for: each block once, filled, the answer at the end.

    >>> in_form("It is grey. <answer>B</answer>", "answer"), in_form("<answer>B</answer>", "think_answer")
    (True, False)
    """
    found = _ANSWER.fullmatch(text)
    if found is None or not found["answer"].strip() or text.count("<answer>") > 1 or text.count("</answer>") > 1:
        return False
    before = found["before"]
    if form == "answer":
        return bool(before.strip())
    thought = _THINK.fullmatch(before)
    once = text.count("<think>") == text.count("</think>") == 1
    return once and thought is not None and bool(thought["thought"].strip())


def repeated_share(text: str, n: int) -> float:
    """Share of the runs of `n` words that stand in the text before; Chinese characters count as words.

    >>> repeated_share("a b a b a b", 2)
    0.6
    """
    words = [
        piece
        for word in _WORD.findall(_TAG.sub(" ", text.lower()))
        for piece in (word if not word.isascii() else [word])
    ]
    runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 0.0 if not runs else 1 - len(set(runs)) / len(runs)


class _Judged(NamedTuple):
    texts: list[str]
    verdicts: list[Verdict]
    formed: list[bool]


class Judge:
    """Verdicts on completions, each made once, and the reward functions that pay by them."""

    def __init__(self, reward: Reward, *, max_completion_tokens: int | None, watch: Watch | None = None) -> None:
        self._reward, self._max_tokens, self._watch = reward, max_completion_tokens, watch
        self._last: tuple[Any, _Judged] | None = None
        self.training: Callable[[], bool] = lambda: True
        """Whether the batch at hand is one of training; the alarms do not watch evaluation."""

    def functions(self) -> tuple[list[RewardFunction], list[float]]:
        """(functions, weight of each), for TRL's `reward_funcs` and `reward_weights`; the names are those of curves."""
        reward = self._reward
        terms: list[tuple[str, Callable[[_Judged, int, int], float], float]] = [("accuracy", self._accuracy, 1.0)]
        if reward.format != "off":  # a gate pays nothing by itself, but its curve is wanted
            weight = reward.format_weight if reward.format == "weight" else 0.0
            terms.append(("format", lambda judged, i, tokens: float(judged.formed[i]), weight))
        if reward.soft_max_tokens is not None:
            terms.append(("length", lambda judged, i, tokens: -self._over_long(tokens), reward.length_weight))
        if (n := reward.repetition_ngram) is not None:
            terms.append(
                (
                    "repetition",
                    lambda judged, i, tokens: -repeated_share(judged.texts[i], n),
                    reward.repetition_weight,
                )
            )
        functions = [self._function(name, value) for name, value, _ in terms]
        return functions, [weight for _, _, weight in terms]

    def _function(self, name: str, value: Callable[[_Judged, int, int], float]) -> RewardFunction:
        def reward(
            completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], **columns: Any
        ) -> list[float | None]:
            judged = self._judge(completions, columns)
            if name == "accuracy":
                self._note(judged, completion_ids, columns)
            return [
                None if verdict.outcome == "unverifiable" else value(judged, i, len(completion_ids[i]))
                for i, verdict in enumerate(judged.verdicts)
            ]

        reward.__name__ = name
        return reward

    def _accuracy(self, judged: _Judged, i: int, tokens: int) -> float:
        gated = self._reward.format == "gate" and not judged.formed[i]
        return float(judged.verdicts[i].outcome == "correct" and not gated)

    def _over_long(self, tokens: int) -> float:
        start = self._reward.soft_max_tokens or 0
        end = max(self._max_tokens or 2 * start, start + 1)
        return min(1.0, max(0.0, (tokens - start) / (end - start)))

    def _judge(self, completions: Sequence[Any], columns: Mapping[str, Any]) -> _Judged:
        if self._last is not None and self._last[0] is completions:  # TRL hands every function the same list
            return self._last[1]
        texts = [_text(completion) for completion in completions]
        verdicts = [
            verify(Gold.from_row(_row(columns, i)), text, rel_tol=self._reward.rel_tol) for i, text in enumerate(texts)
        ]
        judged = _Judged(texts, verdicts, [in_form(text, self._reward.form) for text in texts])
        self._last = (completions, judged)
        return judged

    def _note(self, judged: _Judged, completion_ids: Sequence[Sequence[int]], columns: Mapping[str, Any]) -> None:
        """Curves by source and kind, columns of the dumped completions, and what the alarms watch."""
        metric: Callable[[str, float], None] = columns.get("log_metric") or (lambda name, value: None)
        extra: Callable[[str, list[Any]], None] = columns.get("log_extra") or (lambda column, values: None)
        count = len(judged.texts)
        kinds = list(columns.get("answer_kind") or ["none"] * count)
        groups: dict[str, list[float]] = defaultdict(list)
        for i, verdict in enumerate(judged.verdicts):
            if verdict.outcome != "unverifiable":
                groups[f"accuracy/kind/{kinds[i]}"].append(float(verdict.outcome == "correct"))
                if "source" in columns:
                    groups[f"accuracy/source/{columns['source'][i]}"].append(float(verdict.outcome == "correct"))
        for name, values in groups.items():
            metric(name, sum(values) / len(values))
        outcomes = Counter(verdict.outcome for verdict in judged.verdicts)
        metric("unverifiable", outcomes["unverifiable"] / count)
        for column in ("uid", "source", "answer_kind", "answer"):
            if column in columns:
                extra(column, list(columns[column]))
        extra("verdict", [verdict.outcome for verdict in judged.verdicts])
        extra("reason", [verdict.reason for verdict in judged.verdicts])
        extra("extracted", [verdict.extracted for verdict in judged.verdicts])
        if self._watch is None or not self.training():
            return
        letters = [
            (verdict.extracted, _row(columns, i).get("answer_label"))
            for i, verdict in enumerate(judged.verdicts)
            if kinds[i] == "choice" and verdict.extracted and len(verdict.extracted) == 1
        ]
        decided = count - outcomes["unverifiable"]
        batch = Batch(
            step=int(getattr(columns.get("trainer_state"), "global_step", 0)),
            tokens=sum(map(len, completion_ids)) / count,
            accuracy=outcomes["correct"] / decided if decided else None,
            form=sum(judged.formed) / count,
            unverifiable=outcomes["unverifiable"] / count,
            letters=tuple((given or "", gold or "") for given, gold in letters),
        )
        for alarm in self._watch.see(batch):
            metric(f"alarms/{alarm}", 1.0)


def _row(columns: Mapping[str, Any], i: int) -> dict[str, Any]:
    """The gold answer's columns of row `i`."""
    names = {"question", "options", "answer", "answer_label", "answer_kind", "lang"} & columns.keys()
    row = {name: columns[name][i] for name in names}
    row["prompt"] = columns["prompts"][i] if "prompts" in columns else None
    return row


def _text(completion: Any) -> str:
    """What the model wrote: of a message, its content."""
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
