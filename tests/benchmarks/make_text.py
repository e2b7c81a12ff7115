"""Text for the benchmarks: documents of invented words with planted near-duplicates, and the truth about them.

    python tests/benchmarks/make_text.py --out FOLDER --n 50000 --seed 7

Writes FOLDER/corpus.parquet {id, text} in shuffled order, FOLDER/corpus.jsonl with the same rows (for tools that read
JSON lines), FOLDER/pairs.parquet {a, b, jaccard} with every planted pair of an original and its edited copy, and
FOLDER/truth.parquet {a, b, jaccard} with every pair of at least 0.7. Similarity is the Jaccard similarity of the sets
of word 5-grams (words: lower case, runs of word characters), computed pair by pair on Python sets.

A document is 60 to 400 words of a language of 30,000 words whose frequencies fall as in real text, each with its usual
successors; a third of the documents end in one of a few sentences that thousands share. A copy has 2 to 5 % of its
words replaced, deleted or inserted.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

VOCABULARY = 30_000
SUCCESSORS = 40
SHARED_SENTENCES = 12
ROW_GROUP = 25_000
_WORD = re.compile(r"\w+")
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in ("a", "e", "i", "o", "u", "an", "er", "is", "or", "um")]


def vocabulary(rng: random.Random) -> list[str]:
    """Invented words, the frequent ones short."""
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        syllables = 1 + min(4, int(len(words) ** 0.16))
        words.setdefault("".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(1, syllables))))
    return list(words)


def documents(count: int, rng: np.random.Generator, words: list[str]) -> list[str]:
    """Documents of 60 to 400 words, in sentences."""
    ranks = np.arange(1, len(words) + 1, dtype=np.float64)
    shares = np.cumsum(1 / (ranks + 3))
    shares /= shares[-1]

    def drawn(size: int) -> NDArray[np.int64]:
        return np.searchsorted(shares, rng.random(size))

    successors = drawn(len(words) * SUCCESSORS).reshape(len(words), SUCCESSORS)
    shared = [_sentences(drawn(24), words, rng) for _ in range(SHARED_SENTENCES)]
    lengths = np.clip(rng.lognormal(4.5, 0.5, count), 60, 400).astype(np.int64)
    ids = np.empty((int(lengths.max()), count), np.int32)
    ids[0] = drawn(count)
    for at in range(1, len(ids)):
        usual = successors[ids[at - 1], rng.integers(0, SUCCESSORS, count)]
        ids[at] = np.where(rng.random(count) < 0.6, usual, drawn(count))
    texts = []
    for document, length in enumerate(lengths.tolist()):
        text = _sentences(ids[:length, document], words, rng)
        if rng.random() < 1 / 3:
            text += " " + shared[int(rng.integers(len(shared)))]
        texts.append(text)
    return texts


def _sentences(ids: NDArray[Any], words: list[str], rng: np.random.Generator) -> str:
    spelled = [words[i] for i in ids.tolist()]
    at = 0
    while at < len(spelled):
        spelled[at] = spelled[at].capitalize()
        at += int(rng.integers(9, 26))
        end = min(at, len(spelled)) - 1
        spelled[end] += "."
    return " ".join(spelled)


def edited(rng: random.Random, text: str, words: list[str]) -> str:
    """`text` with 2 to 5 % of its words replaced (60 %), deleted or inserted; at least one."""
    found = text.split()
    edits = max(1, round(rng.uniform(0.02, 0.05) * len(found)))
    for at in sorted(rng.sample(range(len(found)), edits), reverse=True):
        kind = rng.random()
        if kind < 0.6:
            found[at] = rng.choice(words)
        elif kind < 0.8:
            del found[at]
        else:
            found.insert(at, rng.choice(words))
    return " ".join(found)


def shingles(text: str, size: int = 5) -> frozenset[int]:
    """The word n-grams of a text, as Python's hashes of them."""
    words = _WORD.findall(text.lower())
    return frozenset(hash(tuple(words[i : i + size])) for i in range(max(1, len(words) - size + 1)))


def true_pairs(texts: list[str], least: float) -> list[dict[str, Any]]:
    """Every pair of documents of at least that similarity, by a plain join on Python sets."""
    sets = [shingles(text) for text in texts]
    counts = Counter(shingle for one in sets for shingle in one)
    index: defaultdict[int, list[int]] = defaultdict(list)
    pairs = []
    for at in sorted(range(len(sets)), key=lambda i: len(sets[i])):
        one = sets[at]
        prefix = len(one) - math.ceil(least * len(one)) + 1
        seen: set[int] = set()
        for shingle in sorted(one, key=lambda s: (counts[s], s))[:prefix]:
            if counts[shingle] > 1:
                seen.update(other for other in index[shingle] if len(sets[other]) >= least * len(one))
                index[shingle].append(at)
        for other in seen:
            common = len(one & sets[other])
            similarity = common / (len(one) + len(sets[other]) - common)
            if similarity >= least:
                first, second = sorted((at, other))
                pairs.append({"a": first, "b": second, "jaccard": similarity})
    return pairs


def make_corpus(out: Path, count: int, seed: int, planted: float) -> dict[str, int]:
    """Writes the corpus and its truth; returns what is in it."""
    rng = random.Random(seed)
    words = vocabulary(rng)
    copies = round(count * planted)
    texts = documents(count - copies, np.random.default_rng(seed), words)
    pairs = []
    for original in rng.sample(range(len(texts)), copies):
        pairs.append((original, len(texts)))
        texts.append(edited(rng, texts[original], words))
    order = list(range(len(texts)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    texts = [texts[old] for old in order]
    out.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": pa.array(range(len(texts)), pa.int64()), "text": texts})
    pq.write_table(table, out / "corpus.parquet", row_group_size=ROW_GROUP)
    with (out / "corpus.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))
    known = []
    for original, copy in pairs:
        a, b = sorted((place[original], place[copy]))
        ours, theirs = shingles(texts[a]), shingles(texts[b])
        known.append({"a": a, "b": b, "jaccard": len(ours & theirs) / len(ours | theirs)})
    schema = pa.schema([("a", pa.int64()), ("b", pa.int64()), ("jaccard", pa.float64())])
    pq.write_table(pa.Table.from_pylist(known, schema), out / "pairs.parquet")
    truth = true_pairs(texts, 0.7)
    pq.write_table(pa.Table.from_pylist(truth, schema), out / "truth.parquet")
    return {
        "documents": len(texts),
        "words": sum(len(text.split()) for text in texts),
        "planted": len(known),
        "planted_at_0.8": sum(pair["jaccard"] >= 0.8 for pair in known),
        "pairs_at_0.8": sum(pair["jaccard"] >= 0.8 for pair in truth),
    }


def main() -> None:
    """Writes a corpus and prints what is in it."""
    parser = argparse.ArgumentParser(description="Documents of invented words with planted near-duplicates.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--planted", type=float, default=0.1, help="share of documents that are edited copies")
    options = parser.parse_args()
    print(json.dumps(make_corpus(options.out, options.n, options.seed, options.planted)))


if __name__ == "__main__":
    main()
