"""The words of a question: a YAML file with one text a kind of answer, in English and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from infimed_data.schema import ANSWER_KINDS, LABELS
from infimed_data.verify import Gold
from infimed_train.errors import TrainError, did_you_mean

__all__ = ["Prompts", "load_prompts"]

SHIPPED = Path(__file__).parents[1] / "prompts"
_FIELD = re.compile(r"\{(question|options)\}")


@dataclass(frozen=True)
class Prompts:
    """Texts by language and kind of answer."""

    name: str
    digest: str
    system: str | None
    texts: dict[str, dict[str, str]]

    def messages(self, gold: Gold) -> list[dict[str, str]]:
        """The conversation that asks for this answer."""
        language = self.texts.get(gold.lang, self.texts["en"])
        filled = {
            "question": gold.question,
            "options": "\n".join(f"{LABELS[i]}. {text}" for i, text in enumerate(gold.options)),
        }
        text = _FIELD.sub(lambda found: filled[found[1]], language[gold.answer_kind])
        messages = [{"role": "system", "content": self.system}] if self.system else []
        return [*messages, {"role": "user", "content": text}]


def load_prompts(name: str, *, where: str) -> Prompts:
    """The prompts in the file `name`, or the ones of that name that come with the package."""
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}
    path = shipped.get(name, Path(name))
    try:
        text = path.read_text("utf-8")
        plain: Any = YAML(typ="safe").load(text)
    except FileNotFoundError:
        raise TrainError(
            f"{where}: no prompts {name!r}; allowed: {', '.join(shipped)}, or a file{did_you_mean(name, shipped)}"
        ) from None
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise TrainError(f"{path}: cannot read: {str(error).splitlines()[0]}") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("en"), dict):
        raise TrainError(f"{path}: no prompts: give `en:` with one text a kind of answer; see {shipped['direct']}")
    system = plain.pop("system", None)
    for language, texts in plain.items():
        missing = [kind for kind in ANSWER_KINDS if not isinstance(texts.get(kind), str)]
        if missing:
            raise TrainError(f"{path}: {language}: no text for {', '.join(missing)}; one is needed a kind of answer")
        for kind in ANSWER_KINDS:
            if "{question}" not in texts[kind]:
                raise TrainError(f"{path}: {language}.{kind}: {{question}} is missing")
            if kind in ("choice", "multi_choice") and "{options}" not in texts[kind]:
                raise TrainError(f"{path}: {language}.{kind}: {{options}} is missing")
    return Prompts(path.stem, xxhash.xxh3_128_hexdigest(text.encode()), system, plain)
