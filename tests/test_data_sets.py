"""What is special about each data set: its traps are refused by name, its keys and answers read as they are meant.

Exact counts are in test_catalogue.py. Tests that take `real` read the original releases, and skip where there are none.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from adapter_rows import put_images, put_json, put_lines, put_parquet, read, rule
from conftest import Run
from test_catalogue import COUNTS, SAMPLES, folder

from infimed_data.adapters.catalogue import DATA_SETS
from infimed_data.adapters.fields import boxed, medical_part, options_in_text, parsed, plain_question
from infimed_data.adapters.reading import split_thought
from infimed_data.errors import SourceError
from infimed_data.schema import ImageSlot, Sample


def sample_of(name: str, split: str = "train", **options: Any) -> list[Sample]:
    """The samples of a data set's invented rows."""
    entry = DATA_SETS[name]
    return read(entry.adapter, folder(name), split, **{**entry.options, **options})[0]


# What rows have in common


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("\\boxed{12}", "12"),
        ("so \\boxed{3} or \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("<answer> left </answer>", "left"),
        ("<answer>\\boxed{B}</answer>", "B"),
        (" plain ", "plain"),
    ],
)
def test_the_box_comes_off_an_answer(text: str, inside: str) -> None:
    assert boxed(text) == inside


def test_a_box_that_does_not_close_is_refused() -> None:
    assert rule(boxed, "\\boxed{B") == "unclosed_box"


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("Why?\nA. x\nB. y", "Why?", {"A": "x", "B": "y"}),
        ("Why?\n(A) x\n(B) y\ngoes on\n(C) z", "Why?", {"A": "x", "B": "y\ngoes on", "C": "z"}),
        ("A. fib is seen.\nWhy?\nA) x\nB: y", "A. fib is seen.\nWhy?", {"A": "x", "B": "y"}),
    ],
)
def test_options_come_out_of_a_question(text: str, question: str, options: dict[str, str]) -> None:
    assert options_in_text(text) == (question, options)


@pytest.mark.parametrize("text", ["Why?", "A. x", "Why?\nB. y\nC. z", ""])
def test_a_question_without_options_is_refused(text: str) -> None:
    assert rule(options_in_text, text) == "no_options_in_text"


def test_lists_written_as_text_are_read_without_running_them() -> None:
    assert parsed("['it''s', \"5'\"]", "x") == ["its", "5'"]
    assert parsed('{"A": "x"}', "x") == {"A": "x"}
    assert rule(parsed, "__import__('os')", "x") == "unreadable_field"
    assert rule(parsed, "[" * 100_000, "x") == "unreadable_field"


def test_more_tags_than_images_are_refused() -> None:
    assert rule(plain_question, "<image><image>Same?", 1) == "image_count"
    assert plain_question("<image>Same?", 2) == ("Same?", (ImageSlot(0, 0), ImageSlot(0, 0)))


@pytest.mark.parametrize(
    "name",
    ["PMC-VQA/images/3.jpg", "MathV360K_VQA-RAD_2130", "PMC-VQA(MathV360K)", "vqarad", "SLAKE", "medical/1.png",
     "cauldron/vqarad/images/1.png", "path-vqa", "VQA_Med"],
)  # fmt: skip
def test_medical_parts_of_general_collections_are_known_by_name(name: str) -> None:
    assert medical_part([None, 3, name]) == name


@pytest.mark.parametrize(
    "name", ["Geometry3K/images/1.png", "MathV360K_VQA-AS", "coco/crocodile.jpg", "MIMIC-IT", "quilt.jpg", "snowflakes"]
)
def test_general_parts_are_no_medical_ones(name: str) -> None:
    assert medical_part([name]) is None


# PathVQA


def test_path_vqa_rebuilds_the_answer_type_and_never_opens_a_pickle(tmp_path: Path) -> None:
    samples = sample_of("path_vqa")
    assert [sample.meta["answer_type"] for sample in samples] == ["CLOSED", "OPEN", "OPEN", "OPEN", "CLOSED"]
    assert samples[0].images == ("data/train-00000-of-00001.parquet#0:0:image",)
    original, _ = read("path_vqa", SAMPLES / "path_vqa_original", "train")
    assert original[0].images == ("split/images/train/train_0000.jpg",)
    assert original[0].group == original[1].group != original[2].group
    (tmp_path / "train_qa.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(SourceError, match=r"train_qa\.pkl is not read: unpack or convert it"):
        read("path_vqa", tmp_path)


def test_real_path_vqa_of_one_textbook(real: Path, tmp_path: Path) -> None:
    assert read("path_vqa", real / "path_vqa_text", "textbook") == ([], {"image_missing": 5429})
    shutil.copy(real / "path_vqa_text" / "QA_pairs_vb.json", tmp_path)
    rows = json.loads((tmp_path / "QA_pairs_vb.json").read_text(encoding="utf-8"))
    put_images(tmp_path, *{f"images/{row['Image_ID']}.jpg" for row in rows})
    samples, rejected = read("path_vqa", tmp_path, "textbook")
    assert (len(samples), rejected) == (5429, {})
    assert Counter(sample.meta["answer_type"] for sample in samples) == {"OPEN": 2577, "CLOSED": 2852}


# PMC-VQA


def test_pmc_vqa_reads_both_meanings_of_answer() -> None:
    first, _, third, glued = sample_of("pmc_vqa")
    assert (first.answer, first.answer_label, first.options[1]) == ("Liver", "A", "Spleen")
    assert third.options[0] == "N/A", "a literal N/A is an option"
    assert glued.options[0] == "A vein", "a quote that is glued to the choice comes off"
    assert first.question == "Which organ of the drawn patient makes bile?"
    assert first.images == ("images.zip!images/PMC9100000_F0.jpg",)
    second = sample_of("pmc_vqa", "train_2")[0]
    assert (second.answer, second.answer_label, second.meta["version"]) == ("A tendon", "C", 2)
    assert second.images == ("images_2.zip!figures/PMC9200000_F1_0.jpg",)
    assert [first.group, second.group] == ["PMC9100000", "PMC9200000"]


def test_pmc_vqa_reads_the_early_misspelt_column() -> None:
    (sample,), _ = read("pmc_vqa", SAMPLES / "pmc_vqa_early")
    assert (sample.answer, sample.answer_label) == ("Liver", "A")
    assert sample.images == ("images/images/PMC9100000_F0.jpg",)


def pmc_rows(tmp_path: Path, name: str, header: str, *lines: str) -> Path:
    put_images(tmp_path, "images/PMC1_F1.jpg")
    (tmp_path / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return tmp_path


def test_a_letter_that_is_a_choice_is_read_by_the_columns(tmp_path: Path) -> None:
    """Panels of a figure are choices too: `Answer` B is choice A's text in version 1, and the letter in version 2."""
    choices = "Choice A,Choice B,Choice C,Choice D"
    row = "PMC1_F1.jpg,Which panel?,B, A:B , B:A , C:D , D:C "
    head = f"Figure_path,Question,Answer,{choices}"
    (one,), _ = read("pmc_vqa", pmc_rows(tmp_path, "train.csv", f"{head},Answer_label", f"{row},A"), "train")
    (two,), _ = read("pmc_vqa", pmc_rows(tmp_path, "train_2.csv", head, row), "train_2")
    assert (one.answer_label, one.answer) == ("A", "B")
    assert (two.answer_label, two.answer) == ("B", "A")


# OmniMedVQA, MedXpertQA, MMMU


def test_omnimedvqa_has_two_to_four_options_and_an_odd_modality() -> None:
    samples = {sample.row_key: sample for sample in sample_of("omnimedvqa", "test")}
    assert [len(sample.options) for sample in samples.values()] == [3, 2, 4, 3, 2]
    assert samples["Chest CT Scan_0000"].modality == "CT(Computed Tomography)"
    assert samples["Chest CT Scan_0000"].images == ("OmniMedVQA/Images/Chest CT Scan/a b (1).png",)
    assert samples["Drawn Fundus_0000"].group == "Drawn Fundus/left.BMP"


def test_omnimedvqa_is_read_from_its_zip(tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "OmniMedVQA"), "zip", SAMPLES / "omnimedvqa")
    samples, rejected = read("omnimedvqa", Path(archive), "test")
    assert (len(samples), rejected) == (5, {"answer_not_in_options": 1})
    assert samples[0].images[0].startswith("OmniMedVQA.zip!OmniMedVQA/Images/")


def test_medxpertqa_takes_the_repeated_options_off() -> None:
    first = sample_of("medxpertqa", "test")[0]
    assert first.question == "Which organ of the drawn patient makes bile?"
    assert len(first.options) == 5
    assert first.images == ("images.zip!images/MM-0-a.jpeg", "images.zip!images/MM-0-b.png")
    inside, _ = read("medxpertqa", SAMPLES / "medxpertqa" / "Text", "test", config="Text")
    assert len(inside) == 3, "the location may be the configuration's folder"
    text = sample_of("medxpertqa_text", "test")[0]
    assert (len(text.options), text.images) == (10, ())


def test_real_medxpertqa(real: Path, tmp_path: Path) -> None:
    assert read("medxpertqa", real / "medxpertqa", "test") == ([], {"image_missing": 2000})
    file = real / "medxpertqa" / "medxpertqa_mm_input.jsonl"
    shutil.copy(file, tmp_path)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    put_images(tmp_path, *(f"images/{image['image_path']}" for row in rows for image in row["images"]))
    samples, rejected = read("medxpertqa", tmp_path, "test")
    assert (len(samples), rejected) == (2000, {})
    assert not any("Answer Choices" in sample.question for sample in samples)
    assert Counter(sample.question_type for sample in samples) == {"Reasoning": 1446, "Understanding": 554}
    assert Counter(len(sample.images) for sample in samples) == {1: 1581, 2: 236, 3: 59, 4: 22, 5: 78, 6: 24}


def test_mmmu_places_images_where_the_text_names_them() -> None:
    samples = {sample.row_key: sample for sample in sample_of("mmmu", "validation")}
    two = samples["validation_Clinical_Medicine_2"]
    assert two.question == "Is older than ? See image 1 again."
    columns = [ref.rpartition(":")[2] for ref in two.images]
    assert columns == ["image_2", "image_1"], "images stand in the order in which the text names them"
    assert two.image_slots == (ImageSlot(0, 3), ImageSlot(0, 14))
    shown = samples["validation_Clinical_Medicine_3"]
    assert shown.options == ("image 2", "image 3")
    assert [slot.offset for slot in shown.image_slots] == [0, len(shown.question), len(shown.question)]
    counted = samples["validation_Clinical_Medicine_4"]
    assert (counted.answer, counted.answer_kind, counted.options) == ("2", "number", ())
    assert samples["validation_Pharmacy_1"].task == "Pharmacy"


def test_mmmu_keeps_hidden_answers_out_and_takes_given_ones(tmp_path: Path) -> None:
    hidden = sample_of("mmmu", "test")
    assert {(sample.answer_kind, sample.answer) for sample in hidden} == {("none", "")}
    assert all(sample.options and sample.images for sample in hidden), "they are matched against all the same"
    shutil.copytree(SAMPLES / "mmmu", tmp_path / "mmmu")
    key = "test_Pharmacy_1"
    put_json(tmp_path / "mmmu" / "answer.json", {key: {"question_type": "multiple-choice", "ground_truth": "B"}})
    given, _ = read("mmmu", tmp_path / "mmmu", "test")
    assert [sample.row_key for sample in given if sample.answer_kind == "choice"] == [key]
    with pytest.raises(SourceError, match="expected MMMU's Anatomy/"):
        read("mmmu", SAMPLES / "mmmu", "test", subjects=["Anatomy"])


# Conversations about images


def test_pubmedvision_groups_by_article() -> None:
    first, second = sample_of("pubmedvision")
    assert (first.group, second.group) == ("PMC910000", "PMC910001")
    assert (first.modality, second.modality, len(second.images)) == ("Digital Photography", None, 2)


def test_mulberry_steps_become_the_rationale() -> None:
    first, second = sample_of("mulberry")
    assert first.answer == "1"
    assert first.rationale.startswith("### Image Description:")
    assert "final answer" not in first.rationale
    assert second.images == ("mulberry_images.tar!geoqa/images/2.png",)


def test_a_final_answer_inside_a_thought_ends_no_thought() -> None:
    inner = "### Let's think step by step\nx\n### The final answer is: 1"
    assert split_thought(f"<think>{inner}</think>2") == (inner, "2")
    assert split_thought("### The final answer is: 1") == ("", "### The final answer is: 1")


def test_images_in_parquet_are_found_without_reading_them() -> None:
    first, second, *_ = sample_of("llava_onevision")
    assert [len(sample.images) for sample in sample_of("llava_onevision")] == [1, 0, 1, 1]
    assert first.images == ("CLEVR-Math(MathV360K)/train-00000-of-00001.parquet#0:0:image",)
    assert second.images == ()
    multi = sample_of("cauldron")[2]
    assert multi.images == tuple(f"nlvr2/train-00000-of-00001.parquet#0:0:images[{n}]" for n in range(2))
    turned = sample_of("cauldron")[1]
    assert (len(turned.turns), turned.image_slots) == (6, (ImageSlot(0, 0),))


def test_r1_onevision_without_a_tag_has_its_image_first() -> None:
    first, _, third = sample_of("r1_onevision")
    assert (first.image_slots, first.rationale, first.answer) == ((ImageSlot(0, 0),), "I look at the disc.", "left")
    assert third.images == ()


def test_images_in_parts_are_to_be_joined(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.jsonl", [{"id": "1"}])
    put_images(tmp_path, "image.zip.part-aa", "image.zip.part-ab")
    with pytest.raises(SourceError, match=r"cat image\.zip\.part\* > image\.zip"):
        read("llava", tmp_path)


# Problems and reasoning


def test_problems_lose_their_boxes_and_keep_their_pass_rates() -> None:
    first, second = sample_of("virl39k")
    assert (first.answer, first.answer_kind, first.pass_rate) == ("12", "number", 0.0)
    assert (second.answer, second.pass_rate) == ("\\frac{1}{2}", 0.25)
    assert first.images == ("images.zip!images/Drawn-0.png",)


def test_mm_eureka_reads_chats_and_drops_the_blank_image() -> None:
    plain, parts, blank = sample_of("mm_eureka")
    assert (plain.question, parts.question, blank.question) == (
        "How many discs are drawn?", "Which side is the disc on?", "What is 6 x 7?",
    )  # fmt: skip
    assert [len(sample.images) for sample in (plain, parts, blank)] == [1, 1, 0]
    assert parts.answer == "left"


def test_the_answer_comes_out_of_a_solution() -> None:
    assert [sample.answer for sample in sample_of("geoqa_r1v")] == ["left", "2"]
    assert [sample.answer for sample in sample_of("multimodal_open_r1")] == ["left"]
    assert [len(sample.images) for sample in sample_of("medix_rl")] == [0, 1, 2]
    assert len(sample_of("medix_rl", medical="reject")) == 0


def test_openr1_math_takes_the_first_generation_that_is_complete_and_correct() -> None:
    seven, eight, nine = sample_of("openr1_math")
    assert seven.rationale == "Way 1: six times 7."
    assert eight.rationale == "Way 1: six times 8."
    assert nine.rationale == "Way 0: six times 9.", "the model's verdict counts where the rule says no"
    gold = sample_of("openr1_math", answer="gold")[0]
    assert (gold.answer, gold.answer_kind) == ("42", "number")


def test_openr1_math_reads_the_february_layout(tmp_path: Path) -> None:
    put = tmp_path / "all" / "default-00000-of-00001.parquet"
    put.parent.mkdir()
    shutil.copy(SAMPLES / "openr1_math/data/train-00000-of-00001.parquet", put)
    assert len(read("openr1_math", tmp_path)[0]) == 3


def test_mmathcot_answers_follow_the_dagger() -> None:
    first, second = sample_of("mmathcot")
    assert (first.answer, first.answer_kind, first.rationale[:6]) == ("4", "number", "Step 1")
    assert (second.answer, second.answer_kind, second.rationale) == ("The left one.", "open", "")


def test_reasonmed_reads_one_of_its_three_formats() -> None:
    assert len(sample_of("reasonmed")) == 2
    assert sample_of("reasonmed", file="ResponseMed.json")[0].answer == "A. Liver"


# Exams


def test_m23k_reads_options_from_the_prompt_and_pmids_from_its_metadata() -> None:
    first, second = sample_of("m23k")
    assert first.question == "Which organ of the drawn patient makes bile?"
    assert (first.answer_label, len(first.options), first.group) == ("A", 4, "PMID99000001")
    assert second.group is None


def test_medreason_reads_explanations_and_letters() -> None:
    medqa, medmcqa, huatuo = sample_of("medreason")
    assert (medqa.answer_label, medmcqa.answer) == ("A", "An artery")
    assert medmcqa.meta["explanation"] == "It is drawn so."
    assert (huatuo.options, huatuo.answer, huatuo.answer_kind) == ((), "A tendon", "short_text")
    kept = sample_of("medreason", evaluation_sets="keep")
    assert {sample.task for sample in kept} == {"medqa", "medmcqa", "huatuo", "MMLU", "MedXpertQA", "LastHumanity"}


def test_head_qa_counts_from_one() -> None:
    assert [sample.answer_label for sample in sample_of("head_qa")] == ["A", "D"]
    assert sample_of("head_qa", language="es")[0].lang == "es"


def test_scienceqa_hints_stand_before_the_question() -> None:
    first, second, _ = sample_of("scienceqa")
    assert first.question == f"Look at the drawing.\n\n{first.meta['bare_question']}"
    assert (len(first.images), len(second.images)) == (1, 0)
    assert second.question == "Which of these carries blood away from the heart?"


def test_gmai_mmbench_images_are_base64_cells() -> None:
    first, second = sample_of("gmai_mmbench", "test")
    start = (SAMPLES / "gmai_mmbench/GMAI-MMBench_VAL.tsv").read_bytes().index(b"\n") + 1
    assert first.images == (f"GMAI-MMBench_VAL.tsv#{start}:0:image",)
    assert (len(first.options), second.options[4]) == (4, "N/A")
    assert {sample.answer_kind for sample in sample_of("gmai_mmbench", "hidden")} == {"none"}


def test_a_row_of_another_layout_is_rejected_by_name(tmp_path: Path) -> None:
    put_parquet(tmp_path / "test-00000-of-00001.parquet", [{"question": "Why?", "answer": "x"}])
    assert read("multiple_choice", tmp_path, "test", layout="ai2d") == ([], {"missing_field": 1})
    with pytest.raises(SourceError, match="ai2d has no split 'train'; expected test"):
        read("multiple_choice", tmp_path, "train", layout="ai2d")


# Medical sets


def test_mimic_answers_are_lists() -> None:
    yes, several, nothing = sample_of("mimic_cxr_vqa")
    assert (yes.answer_kind, several.answer, nothing.answer) == ("yes_no", "bar, disc", "none")
    assert (several.meta["answers"], nothing.meta["answers"]) == (["bar", "disc"], [])
    assert yes.group == "p99000000"


def test_vqa_med_alternatives() -> None:
    first, second, _ = sample_of("vqa_med_2019", "test")
    assert (first.answer, first.meta["alternatives"], first.group) == ("film", ["film", "drawing"], "synpic90004")
    assert (second.answer, second.meta["alternatives"]) == ("disc side", ["disc side", "disc of the left side"])
    assert sample_of("vqa_med_2019")[2].answer == "a disc (bright)", "brackets are words in the training rows"


def test_vindr_boxes_leave_the_text() -> None:
    first, where, _ = sample_of("vindr_cxr_vqa")
    assert (first.rationale, where.answer, where.group) == ("The disc is bright .", "On the left", "d1")
    assert where.meta["gt_location"] == "<loc_10_10_20_20>"


def test_captions_are_asked_for_by_instructions() -> None:
    samples = sample_of("roco_v2")
    assert {sample.answer for sample in samples} == {"A drawn film, train number 0.", "A drawn film, train number 1."}
    asked = sample_of("roco_v2", instructions=["What is it?"])
    assert {sample.question for sample in asked} == {"What is it?"}
    assert [sample.question for sample in samples] == [sample.question for sample in sample_of("roco_v2")]


def test_medpix_groups_by_case_and_knows_nothing_from_not_available() -> None:
    first, second = sample_of("medpix")
    assert (first.group, second.group, first.row_key) == ("MPX9001", "MPX9001", "MPX9001_synpic80001")
    assert "sex" not in first.meta
    assert first.meta["plane"] == "Axial"


def test_real_medpix(real: Path) -> None:
    samples, rejected = read("captions", real / "medpix", "all", layout="medpix")
    assert (len(samples), rejected) == (172, {})
    assert Counter(sample.meta["Type"] for sample in samples) == {"CT": 118, "MR": 54}


def test_iu_xray_joins_reports_with_their_films() -> None:
    (sample,), _ = read("iu_xray", SAMPLES / "iu_xray_kaggle", "all")
    assert (len(sample.images), sample.group, sample.row_key) == (2, "CXR1", "1")
    assert sample_of("iu_xray", "test")[0].group == "CXR9200"
    (other,), _ = read("iu_xray", SAMPLES / "iu_xray_medevalkit", "medevalkit")
    assert other.group == "CXR9001"


def test_probmed_pairs() -> None:
    samples = sample_of("probmed", "test")
    assert [sample.meta["pair"] for sample in samples] == ["1/modality"] * 2 + ["1/entity_1"] * 2
    assert [sample.answer for sample in samples] == ["yes", "no", "yes", "no"]


def test_quilt_vqa_is_a_test_set_whatever_its_files_say() -> None:
    with pytest.raises(SourceError, match="no split 'train'"):
        sample_of("quilt_vqa", "train")


# In a build


def test_a_file_that_is_read_beside_the_rows_counts_as_input(run: Run, tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "mmmu", tmp_path / "mmmu")
    (tmp_path / "m.yaml").write_text(
        "name: m\nroot: .\nsources: {s: {adapter: mmmu, location: mmmu, split: test, category: medical_vqa}}\n"
        "filters: {min_answer_chars: null}\noutputs: {sft: {}}\n",
        encoding="utf-8",
    )
    kinds = []
    for answers in ({}, {"test_Pharmacy_1": "B"}):
        put_json(tmp_path / "mmmu" / "answer.json", answers)
        done = run("build", tmp_path / "m.yaml", "--out", tmp_path / "builds", "--work", tmp_path / "work")
        assert done.returncode == 0, done.stderr
        samples = pl.read_parquet(Path(done.stdout.splitlines()[-1]) / "samples.parquet")
        kinds.append(samples.filter(pl.col("answer_kind") == "choice")["row_key"].to_list())
    assert kinds == [[], ["test_Pharmacy_1"]]


def test_every_data_set_goes_through_a_build(run: Run, tmp_path: Path) -> None:
    """Images in cells, lists of cells, base64 text, archives and files decode, and every row is accounted for."""
    wanted = {(name, split): (rows, sum(rejected.values())) for name, split, rows, rejected in COUNTS if rows}
    lines = ["name: sets", f"root: {SAMPLES}", "sources:"]
    for name, entry in DATA_SETS.items():
        splits = json.dumps([split for source, split in wanted if source == name])
        lines.append(
            f"  {name}: {{adapter: {entry.adapter}, location: {folder(name).name}, split: {splits}, "
            f"category: {entry.category}, license: {json.dumps(entry.license)}, "
            f"options: {json.dumps(dict(entry.options))}}}"
        )
    lines += ["dedup: {exact: false, near: false}", "outputs: {sft: {}}"]
    (tmp_path / "sets.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = run("build", tmp_path / "sets.yaml", "--out", tmp_path / "builds", "--work", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    build = Path(done.stdout.splitlines()[-1])
    drops = pl.read_parquet(build / "drops.parquet")
    kept = pl.read_parquet(build / "samples.parquet").select("source", "split", bad=pl.lit(False))
    ended = pl.concat([kept, drops.select("source", "split", bad=pl.col("stage") == "ingest")])
    counts = ended.group_by("source", "split").agg(good=(~pl.col("bad")).sum(), bad=pl.col("bad").sum())
    assert {(source, split): (good, bad) for source, split, good, bad in counts.iter_rows()} == wanted
    undecoded = set(drops.filter(pl.col("rule") == "image_unreadable")["source"])
    assert undecoded <= {"vqa_rad", "slake", "llava"}, "only the demo's sources have damaged images, on purpose"


def test_a_cell_that_is_no_base64_is_unreadable(tmp_path: Path, run: Run) -> None:
    said = [{"from": "human", "value": "Side?"}, {"from": "gpt", "value": "left"}]
    texts = ["!!!!", "data:image/png;base64,AAAA"]
    rows = [{"id": n, "image": text, "conversations": said} for n, text in enumerate(texts)]
    put_parquet(tmp_path / "rows" / "train-00000-of-00001.parquet", rows)
    (tmp_path / "m.yaml").write_text(
        "name: m\nroot: .\nsources: {s: {adapter: llava, location: rows, category: general_multimodal}}\n"
        "outputs: {sft: {}}\n",
        encoding="utf-8",
    )
    done = run("build", tmp_path / "m.yaml", "--out", tmp_path / "builds", "--work", tmp_path / "work")
    assert done.returncode == 1
    assert "image_unreadable 2" in done.stderr.splitlines()[-1]
