"""The engine on Ray: the bytes of the local one, whatever is lost on the way, and errors in one line."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cluster_fakes import Shard, faulty, lost_always, lost_once, open_fake_vllm, squared
from fault_server import Script, serving
from killed_generation import plain_candidates
from known_answers import Known
from many_shards import cut_small, write_world
from test_teacher_cache import answer, key
from test_teachers import no_images, question, wire_key

from infimed_data import pipeline
from infimed_data.cluster import Connection, RayEngine, Shared
from infimed_data.cluster import engine as engine_module
from infimed_data.cluster.machines import marked, why_not_here
from infimed_data.engine import EngineSettings
from infimed_data.errors import BudgetError, BuildError, SourceError, TeacherError
from infimed_data.plan import BuildOptions
from infimed_data.teachers import Budget, Completion, RequestCache, Teacher, VllmEngine, open_teacher
from infimed_data.teachers.crew import Crew

pytestmark = pytest.mark.filterwarnings("default")
RAY = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (extra `ray`)")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of this machine, with more processors than it has, which sees the tests' modules."""
    here = Path(__file__).parent
    folder = tmp_path_factory.mktemp("shared")
    settings = EngineSettings(kind="ray", object_store_memory=80 << 20)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        before = os.environ.get("PYTHONPATH", "")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here / "benchmarks"), before]))
        patch.delenv("RAY_ADDRESS", raising=False)
        connection = Connection(settings, lambda: Shared.of([folder], [], {}), processes=6, say=said.append)
        connection.open()
        yield
        connection.close()
    assert said == [] and not list(folder.iterdir()), "marks were left"


Connect = Callable[..., Connection]


@pytest.fixture
def connect(cluster: None, tmp_path: Path) -> Iterator[Connect]:
    """`connect(**settings)`: a connection to the cluster; what is shared is `tmp_path`."""
    made: list[Connection] = []

    def connection(**settings: Any) -> Connection:
        given = EngineSettings.model_validate({"kind": "ray", **settings})
        made.append(Connection(given, lambda: Shared.of([tmp_path], [], {}), processes=2, say=print))
        return made[-1]

    yield connection
    for one in made:
        one.close()


def content(build: Path) -> str:
    """Digest of a build without what tells how fast answers came."""
    found = hashlib.sha256()
    for path in sorted(path for path in build.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.name == "candidates.parquet":
            data = plain_candidates(build).write_json().encode()
        elif path.name == "lock.json":
            lock = json.loads(data)
            lock["sha256"].pop("candidates.parquet", None)
            data = json.dumps(lock).encode()
        found.update(path.relative_to(build).as_posix().encode() + data)
    return found.hexdigest()


@RAY
def test_engines_and_shards_of_any_size_give_the_same_bytes(cluster: None, tmp_path: Path) -> None:
    script = Script(latency_s=0.005, answer=Known())
    digests = {}
    with serving(script) as url:
        write_world(tmp_path, rows=60, url=url)
        for name, processes, shard_bytes, rows in (
            ("local", 1, 8 << 20, 500), ("local", 2, 9_000, 20), ("ray", 1, 30_000, 60), ("ray", 2, 8 << 20, 500),
            ("ray", 4, 7_000, 33),
        ):  # fmt: skip
            engine: dict[str, Any] = {"kind": name}
            if name == "ray":
                engine |= {"max_tasks": processes, "client_workers": processes // 2}
            manifest = tmp_path / "engine.yaml"
            manifest.write_text(json.dumps({"extends": "m.yaml", "engine": engine}))
            folder = tmp_path / f"{name}-{processes}"
            options = BuildOptions(folder / "b", folder / "w", processes, None, True)
            script.asked.clear()
            with cut_small(shard_bytes, rows=rows) as counts:
                build = pipeline.build(manifest, options, lambda line: None)
            digests[name, processes, shard_bytes] = content(build), build.name, sum(counts)
            assert build == folder / "b" / "t" / build.name
            assert set(script.asked.values()) == {1} and len(script.asked) > 100
            segments = len(list((folder / "w" / "teacher_cache").glob("*.seg")))
            assert segments == 1 if name == "local" or processes < 4 else segments <= 2
            lookalikes = build / "lookalikes.parquet"
            assert lookalikes.exists(), "no pictures were compared"
    assert len({found[:2] for found in digests.values()}) == 1, digests
    assert len({tasks for *_, tasks in digests.values()}) > 2, "shards were not cut differently"


@RAY
def test_what_a_lost_worker_had_is_done_again(connect: Connect, tmp_path: Path) -> None:
    connection = connect(max_tasks=3)
    said: list[str] = []
    connection.say = said.append
    engine = RayEngine(connection)
    tasks = [Shard(number, tmp_path) for number in range(12)]
    found = dict(engine.map(lost_once, tasks, label="squaring", heavy=True))
    assert found == {number: number**2 for number in range(12)} and (tmp_path / "lost").exists()
    assert all((tmp_path / f"{number}.txt").read_text() == str(number**2) for number in range(12))
    assert said == ["warning: squaring: a worker was lost (WorkerCrashedError); what was lost is done again"]


@RAY
def test_errors_of_workers_are_errors_of_the_build(connect: Connect, tmp_path: Path) -> None:
    engine = RayEngine(connect(task_retries=1))
    tasks = [Shard(number, tmp_path) for number in range(3)]
    with pytest.raises(SourceError, match=r"^\S+: shard \d is damaged$"):
        list(engine.map(faulty, tasks, label="reading", heavy=True))
    with pytest.raises(
        BuildError, match=r"^a worker was lost \(WorkerCrashedError\) while squaring, 2 times for one task; the"
    ):
        list(engine.map(lost_always, tasks[:1], label="squaring", heavy=True))
    assert dict(engine.map(squared, tasks, label="squaring", heavy=True)) == {0: 0, 1: 1, 2: 4}


@RAY
def test_nothing_is_connected_for_what_this_process_does_quicker(tmp_path: Path) -> None:
    def never() -> Shared:
        raise AssertionError("connected")

    engine = RayEngine(Connection(EngineSettings(kind="ray", address="127.0.0.1:1"), never, processes=1, say=print))
    assert dict(engine.map(squared, [Shard(3, tmp_path)], label="squaring", heavy=False)) == {0: 9}
    with pytest.raises(
        BuildError, match=r"^engine ray: no cluster answers at 127\.0\.0\.1:1 \(.*\); `ray start --head`"
    ):
        list(engine.map(squared, [Shard(3, tmp_path)], label="squaring", heavy=True))
    engine.close()


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("infimed_data.cluster.connection.find_spec", lambda name: None)
    write_world(tmp_path, rows=20)
    (tmp_path / "ray.yaml").write_text("extends: m.yaml\nengine: ray\n")
    with pytest.raises(BuildError, match=r"^engine ray: Ray is not installed; pip install 'infimed-toolkit\[ray\]'$"):
        pipeline.build(tmp_path / "ray.yaml", BuildOptions(tmp_path / "b", tmp_path / "w", 1), print)


def test_a_machine_that_does_not_share_what_it_must_says_what(tmp_path: Path) -> None:
    folder, source = tmp_path / "work", tmp_path / "train.json"
    folder.mkdir()
    source.write_text("[]")
    shared = Shared.of([folder], [source], {"numpy": __import__("numpy").__version__})

    def fault(**changes: Any) -> str:
        """What a process that has not looked yet says."""
        found = why_not_here(replace(shared, token=changes.pop("token", os.urandom(8).hex()), **changes))
        return "" if found is None else found.partition(": ")[2]

    with marked(shared):
        assert why_not_here(shared) is None
        assert "is not the folder that the build writes to" in fault()
    assert not list(folder.iterdir())
    assert "No such file or directory; put the source where" in fault(folders=(), files=((tmp_path / "no.json", 2),))
    assert "has 2 bytes there and 3 here" in fault(folders=(), files=((source, 3),))
    assert "is " in fault(folders=(), versions={"numpy": "1.0"}) and "there and 1.0 here" in fault(
        folders=(), versions={"numpy": "1.0"}
    )
    assert "another infimed-toolkit is installed there" in fault(folders=(), code="other")


@RAY
def test_a_machine_without_the_folder_stops_the_build(cluster: None, tmp_path: Path) -> None:
    shared = replace(Shared.of([], [], {}), folders=(tmp_path / "elsewhere",))
    (tmp_path / "elsewhere").mkdir()
    connection = Connection(EngineSettings(kind="ray"), lambda: shared, processes=2, say=print)
    tasks = [Shard(1, tmp_path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infimed_data.cluster.connection.marked", lambda shared: open(os.devnull))  # noqa: SIM115, PTH123
        with pytest.raises(
            BuildError, match=r"^engine ray: machine \S+: \S+elsewhere is not the folder that the build"
        ):
            list(RayEngine(connection).map(squared, tasks, label="squaring", heavy=True))
    connection.close()


def test_a_store_s_address_is_no_folder(tmp_path: Path) -> None:
    manifest = write_world(tmp_path, rows=20)
    for out, work, said in (
        ("b", "s3://bucket/w", "--work s3:/bucket/w"),
        ("gs://bucket/b", "w", "--out gs:/bucket/b"),
    ):
        with pytest.raises(BuildError, match=f"^{said}: an address of a store; allowed: a folder"):
            pipeline.build(manifest, BuildOptions(Path(out), Path(work), 1), print)


def test_a_file_that_is_seen_late_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "part.arrow"
    path.write_bytes(b"1234")
    engine_module._see(path, 4, 0.1)
    with pytest.raises(BuildError, match=r"part.arrow was written on another machine and is not seen here after 0.1 s"):
        engine_module._see(path, 5, 0.1)


def test_answers_of_another_process_are_found_where_it_says(tmp_path: Path) -> None:
    writer, reader = RequestCache(tmp_path, read=False), RequestCache(tmp_path)

    async def keep(numbers: range) -> Any:
        return await writer.keep([(key(n), answer(n)) for n in numbers])

    async def several() -> list[Any]:
        return await asyncio.gather(*(keep(range(start, start + 40)) for start in range(0, 200, 40)))

    told = asyncio.run(several())
    for start, places in zip(range(0, 160, 40), told[:4], strict=False):
        reader.learn(places, [(key(n), False) for n in range(start, start + 40)])
    assert all(reader.get(key(n)) == answer(n) for n in range(160))
    reader.refresh()
    assert reader.get(key(170)) is None, "nobody looks at what is told of"
    reader.look_again()
    assert reader.get(key(170)) == answer(170)
    assert len(writer) == 0 and writer.get(key(1)) is None
    writer.close()
    reader.close()
    fresh = RequestCache(tmp_path)
    assert len(fresh) == 200
    fresh.close()


def asked_by_crew(
    connection: Connection, teacher: Teacher, folder: Path, work: list[tuple[int, int]], **more: Any
) -> tuple[list[Completion | BaseException], Crew]:
    """Completions of (question, candidate), or what was raised, asked for at once; and the crew."""
    crews: list[Crew] = []
    during = more.pop("during", None)

    async def main() -> list[Completion | BaseException]:
        cache = RequestCache(folder)

        def opened(*given: Any, **settings: Any) -> Crew:
            if "open_fake" in more:
                settings["open_"] = more["open_fake"]
            make: Callable[..., Crew] = Crew
            crews.append(make(*given, **settings, connection=connection, cache=cache))
            return crews[-1]

        try:
            async with open_teacher(
                teacher, cache=cache, images=no_images, open_=opened, budget=more.get("budget"), say=print,
                environ=more.get("environ", {}),
            ) as ask:  # fmt: skip
                prompts = [replace(question(number), model=teacher.name) for number, _ in work]
                calls = [ask(prompt, index) for prompt, (_, index) in zip(prompts, work, strict=True)]
                if connection.settings.client_workers:
                    await crews[-1]._hand()  # so that all are there when asking begins
                    await asyncio.wait([hand.opened for hand in crews[-1]._hands])
                together = asyncio.gather(*calls, return_exceptions=True)
                meanwhile = asyncio.ensure_future(during(crews[-1])) if during is not None else None
                found = await together
                if meanwhile is not None:
                    await meanwhile
                return found
        finally:
            cache.close()

    return asyncio.run(main()), crews[-1]


@RAY
def test_client_workers_share_one_budget_and_one_cache(connect: Connect, tmp_path: Path) -> None:
    script = Script(latency_s=0.01)
    script.keep_bodies = True
    with serving(script) as url:
        teacher = Teacher(model="m", base_url=url, max_in_flight=8, api_key_env="T_KEY")
        connection = connect(client_workers=2)
        environ = {"T_KEY": "sk-secret", "HOME": "/nowhere"}
        work = [(number % 30, 0) for number in range(60)]
        budget = Budget(max_requests=20)
        found, crew = asked_by_crew(connection, teacher, tmp_path / "c", work, budget=budget, environ=environ)
        answered = [one for one in found if isinstance(one, Completion)]
        assert sum(script.asked.values()) == 20 and len(answered) == 40  # each question was asked for twice
        assert all(isinstance(one, BudgetError) for one in found if not isinstance(one, Completion))
        assert len(list((tmp_path / "c").glob("*.seg"))) == 2, "each worker keeps what it was told"
        assert {header["authorization"] for header in script.headers} == {"Bearer sk-secret"}
        assert b"sk-secret" not in pickle.dumps(crew._made_with[1]) and "HOME" not in crew._environ
        found, _ = asked_by_crew(connection, teacher, tmp_path / "c", work, environ=environ)
    assert all(isinstance(one, Completion) and one.error is None for one in found)
    assert script.asked == {wire_key(question(number)): 1 for number in range(30)}


@RAY
def test_answers_that_a_lost_client_had_kept_are_not_asked_for_again(connect: Connect, tmp_path: Path) -> None:
    import ray

    script = Script(latency_s=0.05)
    kept: set[bytes] = set()

    async def lose_one(crew: Crew) -> None:
        deadline = time.monotonic() + 30
        while sum(script.answered.values()) < 60 and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        ray.kill(max(crew._hands, key=lambda hand: hand.under_way).actor)
        await asyncio.sleep(0.1)
        seen = RequestCache(tmp_path)
        kept.update(one for one, _ in seen.records())
        seen.close()

    with serving(script) as url:
        teacher = Teacher(model="m", base_url=url, max_in_flight=8)
        work = [(number, 0) for number in range(200)]
        found, crew = asked_by_crew(connect(client_workers=2), teacher, tmp_path, work, during=lose_one)
    assert all(isinstance(one, Completion) and one.error is None for one in found)
    assert 0 < crew.lost <= 4, "only what was under way is sent again"
    repeated = {name for name, count in script.asked.items() if count > 1}
    texts = {one.text for one in found if isinstance(one, Completion)}
    assert len(kept) >= 40 and len(repeated) <= crew.lost and len(texts) == 200
    again = RequestCache(tmp_path)
    assert {one for one, _ in again.records()} >= kept and len({one for one, _ in again.records()}) == 200
    again.close()


@RAY
def test_copies_of_a_model_run_in_workers_and_one_that_dies_is_loaded_again(connect: Connect, tmp_path: Path) -> None:
    extra = {"top_k": 3, "chat_template_kwargs": {"enable_thinking": False}}
    teacher = Teacher(
        backend="vllm", model="m", revision=str(tmp_path / "died"), max_in_flight=8, extra_body=extra,
        vllm=VllmEngine(data_parallel_size=2),
    )  # fmt: skip
    connection = connect(num_gpus_per_model=0.0)
    work = [(number, index) for number in range(20) if number != 13 for index in range(4)]
    found, crew = asked_by_crew(connection, teacher, tmp_path / "c", work, open_fake=open_fake_vllm)
    assert (tmp_path / "died").exists(), "no model has died"
    texts = [one.text for one in found if isinstance(one, Completion)]
    assert texts[0] == "<think>\nwhy</think>Question 0 0" and len(texts) == len(work)
    assert crew.copies == 2 and crew.lost > 0
    found, crew = asked_by_crew(connection, teacher, tmp_path / "c", work, open_fake=open_fake_vllm)
    assert all(isinstance(one, Completion) and one.cached for one in found) and not crew._hands, "a worker was started"


@RAY
def test_workers_that_cannot_be_opened_stop_the_run(connect: Connect, tmp_path: Path) -> None:
    teacher = Teacher(backend="vllm", model="m")
    if find_spec("vllm") is not None:
        pytest.skip("vLLM is installed")
    (found,), _ = asked_by_crew(connect(num_gpus_per_model=0.0), teacher, tmp_path, [(1, 0)])
    assert isinstance(found, TeacherError) and "vLLM is not installed; pip install" in str(found)


@RAY
def test_a_cluster_without_room_is_said(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(num_cpus_per_task=64.0)
    said: list[str] = []
    connection.say = said.append
    monkeypatch.setattr(engine_module, "_PATIENCE_S", 0.5)
    waiting = RayEngine(connection).map(squared, [Shard(1, tmp_path)], label="squaring", heavy=True)
    monkeypatch.setattr(connection, "why_waiting", _told_then_stop(connection))
    with pytest.raises(TimeoutError):
        next(waiting)
    assert said == [] and time.monotonic() > 0


def _told_then_stop(connection: Connection) -> Callable[[], str]:
    true = connection.why_waiting

    def why() -> str:
        assert true() == "no machine of the cluster has CPU 64"
        raise TimeoutError

    return why
