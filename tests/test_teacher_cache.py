"""The request cache: what was kept is found, whatever happened to the files and whoever writes beside it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infimed_data.errors import StorageError
from infimed_data.teachers import Answer, RequestCache
from infimed_data.teachers.cache.frames import MAGIC, pack, scan, unpack
from infimed_data.teachers.cache.index import Index

WORDS = ("the lung shows a round density with", "smooth edge near left", "right lobe", "pleura no effusion is seen")


def answer(number: int, words: int = 12) -> Answer:
    """An answer of its own."""
    draw = random.Random(number)
    text = f"{number} " + " ".join(draw.choices(" ".join(WORDS).split(), k=words))
    return Answer(
        model="m", name="t@1", text=text, finish_reason="stop", prompt_tokens=9, completion_tokens=words,
        latency_s=0.5, backend="openai", at=1764110400,
    )  # fmt: skip


def key(number: int) -> bytes:
    """A key of its own."""
    return random.Random(number).randbytes(16)


def filled(folder: Path, numbers: range, *, group: int = 50) -> RequestCache:
    """A cache with these answers."""
    cache = RequestCache(folder)
    for start in range(numbers.start, numbers.stop, group):
        cache.keep_now([(key(n), answer(n)) for n in range(start, min(start + group, numbers.stop))])
    return cache


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    cache = filled(tmp_path, range(20_000), group=977)
    assert all(cache.get(key(n)) == answer(n) for n in range(0, 20_000, 7))
    cache.close()
    cache = RequestCache(tmp_path)
    assert len(cache) == 20_000 and cache.damaged == 0
    assert all(cache.get(key(n)) == answer(n) for n in range(0, 20_000, 7))
    assert cache.get(key(20_001)) is None
    assert {k for k, _ in cache.records()} == {key(n) for n in range(20_000)}
    assert len(cache.latest(100)) >= 100
    assert [a for a in cache.latest(30) if a == answer(19_999)]


def test_reasoning_takes_little_room(tmp_path: Path) -> None:
    cache = filled(tmp_path, range(0))
    cache.keep_now([(key(n), answer(n, words=80)) for n in range(2000)])
    cache.close()
    size = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert 2000 / (size / 1e6) > 4000, "fewer than 4,000 records of 80 words a MB"


@pytest.mark.parametrize("cut", [1, 7, 30, 200, 900])
def test_a_torn_tail_is_dropped_and_nothing_else(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, range(200)).close()
    (path,) = tmp_path.glob("*.seg")
    size = path.stat().st_size
    os.truncate(path, size - cut)
    cache = RequestCache(tmp_path)
    kept = {n for n in range(200) if cache.get(key(n)) == answer(n)}
    assert set(range(150)) <= kept < set(range(200)), "more than the last group was lost"
    cache.keep_now([(key(n), answer(n)) for n in range(200) if n not in kept])
    cache.close()
    again = RequestCache(tmp_path)
    assert all(again.get(key(n)) == answer(n) for n in range(200))


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 10_000), damage=st.binary(min_size=1, max_size=60))
def test_damage_hurts_only_what_it_hits(tmp_path_factory: pytest.TempPathFactory, at: int, damage: bytes) -> None:
    folder = tmp_path_factory.mktemp("damage")
    filled(folder, range(320), group=32).close()
    (path,) = folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    at = len(MAGIC) + at % (len(data) - len(MAGIC) - len(damage))
    data[at : at + len(damage)] = damage
    path.write_bytes(data)
    cache = RequestCache(folder)
    found = {n: cache.get(key(n)) for n in range(320)}
    lost = [n for n, one in found.items() if one is None]
    assert all(one == answer(n) for n, one in found.items() if one is not None), "a wrong answer was read"
    assert len({n // 32 for n in lost}) <= 2, "a frame that was not hit was lost"
    assert bool(lost) <= bool(cache.damaged), "damage went unsaid"


def test_a_foreign_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "0.seg").write_bytes(b"PAR1 something else")
    with pytest.raises(StorageError, match=r"0\.seg: not a segment of the request cache"):
        RequestCache(tmp_path)


def test_a_frame_is_taken_whole_or_not_at_all() -> None:
    (first, one), (second, two) = pack([(key(n), answer(n).encoded(), False) for n in range(40)])
    assert (one, two) == (32, 8)
    data = first + second
    for end in range(len(data)):
        found = scan(memoryview(data[:end]), 0)
        assert len(found.keys) == (32 if end >= len(first) else 0) and found.skipped == 0
    frame = unpack(second)
    assert frame is not None and frame.keys == [key(n) for n in range(32, 40)]


def test_records_are_found_while_they_are_written(tmp_path: Path) -> None:
    writer, reader = RequestCache(tmp_path), RequestCache(tmp_path)
    for n in range(300):
        writer.keep_now([(key(n), answer(n))])
        reader.refresh()
        assert reader.get(key(n)) == answer(n)
    writer.close()
    reader.close()


def test_an_answer_comes_before_a_refusal_and_the_first_answer_stays(tmp_path: Path) -> None:
    refusal = Answer(
        model="m", name="", text="", finish_reason="error", prompt_tokens=0, completion_tokens=0, latency_s=0.1,
        refused="too long", server="s",
    )  # fmt: skip
    cache = RequestCache(tmp_path)
    cache.keep_now([(key(1), refusal), (key(2), refusal)])
    assert cache.get(key(1)) == refusal and len(cache) == 0
    cache.keep_now([(key(1), answer(1))])
    cache.keep_now([(key(1), answer(7))])
    for seen in (cache, RequestCache(tmp_path)):
        assert seen.get(key(1)) == answer(1) and seen.get(key(2)) == refusal and len(seen) in (1, 2)
    cache.close()


def _write(folder: str, first: int, count: int) -> None:
    async def main() -> None:
        cache = RequestCache(Path(folder))

        async def one(n: int) -> None:
            await asyncio.sleep(random.random() / 10)
            await cache.keep([(key(n), answer(n))])
            assert cache.get(key(n)) == answer(n)

        await asyncio.gather(*(one(n) for n in range(first, first + count)))
        cache.close()

    asyncio.run(main())


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(str(tmp_path), 300 * i, 600)) for i in range(3)]
    for worker in workers:
        worker.start()
    reader = RequestCache(tmp_path)
    while any(worker.is_alive() for worker in workers):
        reader.refresh()
        time.sleep(0.01)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    reader.refresh()
    assert all(reader.get(key(n)) == answer(n) for n in range(1200)) and reader.damaged == 0
    assert len(list(tmp_path.glob("*.seg"))) == 3


def test_answers_that_come_together_share_an_fdatasync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = os.fdatasync

    def counted(handle: int) -> None:
        calls.append(handle)
        real(handle)

    monkeypatch.setattr("infimed_data.teachers.cache.store.os.fdatasync", counted)
    _write(str(tmp_path), 0, 400)
    assert 1 <= len(calls) < 200


def test_a_million_keys_open_in_little_memory_and_time() -> None:
    index = Index()
    heads = np.random.default_rng(0).integers(0, 2**64, 1_000_000, np.uint64)
    start = time.process_time()
    index.add_all(heads, np.arange(1_000_000, dtype=np.uint64))
    took = time.process_time() - start
    assert took < 3
    assert index.size_bytes < 32e6
    for n in range(0, 1_000_000, 4999):
        assert n in index.candidates(int(heads[n]).to_bytes(8, "big") + bytes(8))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1000)), max_size=60), st.integers(1, 9))
def test_the_index_is_a_dict(pairs: list[tuple[int, int]], step: int) -> None:
    index, expected = Index(), dict[bytes, int]()
    for count, (number, place) in enumerate(pairs):
        index.add(key(number), place)
        expected.setdefault(key(number), place)
        if count % step == 0:
            index.add_all(np.empty(0, np.uint64), np.empty(0, np.uint64))
    for number in range(22):
        found = list(index.candidates(key(number)))
        assert (found[:1] == [expected[key(number)]]) if key(number) in expected else found == []
