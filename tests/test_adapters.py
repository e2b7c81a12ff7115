"""Every adapter reads every layout of its data set, refuses what it cannot read honestly, and never guesses.

Rows here are invented. Tests named `real` read the original releases where they are at hand, and skip where not.
"""

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from adapter_rows import put_images, put_json, put_lines, put_parquet, read, rule
from conftest import REAL
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infimed_data.adapters import ADAPTERS, load_adapter
from infimed_data.adapters.contract import Context
from infimed_data.adapters.reading import (
    choice_answer,
    conversation,
    free_answer_kind,
    split_image_tags,
    split_thought,
    text_of,
)
from infimed_data.errors import ManifestError, SourceError
from infimed_data.schema import ImageSlot, Reject, Turn
from infimed_data.storage.places import Place
from infimed_data.storage.tables import TableRow

real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no original releases at {REAL}")


# The registry


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_says_what_it_reads_and_names_what_is_absent(name: str, tmp_path: Path) -> None:
    adapter = load_adapter(name)
    assert set(adapter.eval_splits) <= set(adapter.splits)
    (tmp_path / "notes.txt").touch()
    for split in adapter.splits:
        with pytest.raises(SourceError, match=r"expected .*(json|parquet|csv|txt|train|test)"):
            adapter.tables(Context(Place(tmp_path), split, adapter.options()))


def test_evaluation_splits_are_those_that_papers_report() -> None:
    assert {name: load_adapter(name).eval_splits for name in ADAPTERS} == {
        **dict.fromkeys(ADAPTERS, ()),
        "captions": ("test",),
        "head_qa": ("test",),
        "iu_xray": ("test", "medevalkit"),
        "medmcqa": ("validation",),
        "medqa": ("test",),
        "medxpertqa": ("dev", "test"),
        "mimic_cxr_vqa": ("test",),
        "mmmu": ("dev", "validation", "test"),
        "multiple_choice": ("test", "hidden"),
        "omnimedvqa": ("test",),
        "path_vqa": ("test",),
        "pmc_vqa": ("test", "test_clean", "test_2"),
        "probmed": ("test",),
        "problems": ("test",),
        "pubmedqa": ("test", "labeled"),
        "slake": ("test",),
        "vqa": ("test",),
        "vqa_med_2019": ("test",),
        "vqa_rad": ("test",),
    }


def test_an_unknown_adapter_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ManifestError, match=r"allowed: captions, .*did you mean 'slake'"):
        load_adapter("slakes")


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="langs"):
        load_adapter("slake").options.model_validate({"langs": ["en"]})


_NAMES = """
    id qid answer answer_type question q_lang img_name image image_name options answer_idx opa opb opc opd cop exp
    QUESTION CONTEXTS LABELS final_decision LONG_ANSWER context pubid Question Complex_CoT Response messages system
    conversations conversatons domain role from value content key phrase_type images
""".split()  # noqa: SIM905
_WORDS = st.sampled_from(
    ["", "en", "yes", "A", "B: x", "<image>", "<think>", "</think>", "user", "gpt", "../x", "x.jpg"]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 6) | st.floats() | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ADAPTERS)
@given(data=st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=10), key=st.none() | st.just("7"))
@settings(max_examples=150, deadline=None)
def test_any_row_is_read_or_rejected_and_never_breaks_the_build(
    name: str, data: dict[str, Any], key: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    adapter = load_adapter(name)
    place = Place(tmp_path_factory.getbasetemp())
    context = Context(place, adapter.splits[0], adapter.options(), {"cop_base": 0, "test_labels": {"7": "yes"}})
    context.__dict__["images"] = _NoImages()
    try:
        sample = adapter.sample(TableRow(data, "rows.json", 0, key), context)
    except Reject:
        return
    assert sample is None or sample.answer_label is None or sample.answer in sample.options


class _NoImages:
    def find(self, name: str) -> str:
        return name


# Answers


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        (["Red", "Blue"], {"label": "b"}, ("B", "Blue")),
        (["Red", "Blue"], {"label": "(B)."}, ("B", "Blue")),
        (["Red", "Blue"], {"label": 1}, ("B", "Blue")),
        (["Red", "Blue"], {"text": " BLUE "}, ("B", "Blue")),
        ([" A: Red ", " B:Blue "], {"label": "B", "text": "Blue"}, ("B", "Blue")),
        (["A. i) B. ii)", "A. ii) B. i)"], {"label": 0}, ("A", "A. i) B. ii)")),
        ({"A": "Red", "B": "Blue", "C": None}, {"label": "B"}, ("B", "Blue")),
        (["N/A", "None"], {"text": "N/A"}, ("A", "N/A")),
    ],
)
def test_an_answer_is_read_in_every_spelling(options: Any, given: Any, expected: tuple[str, str]) -> None:
    assert choice_answer(options, **given)[1:] == expected


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        (["Red", "Blue"], {"label": "A", "text": "Blue"}, "label_text_disagree"),
        (["Red", "Blue"], {"label": "A", "text": "Green"}, "answer_not_in_options"),
        (["Red", "Blue"], {"text": "Green"}, "answer_not_in_options"),
        (["Red", "red"], {"text": "Red"}, "answer_ambiguous"),
        (["Red", "Blue"], {"label": "C"}, "label_out_of_range"),
        (["Red", "Blue"], {"label": -1}, "label_out_of_range"),
        (["Red", "Blue"], {}, "unlabelled"),
        (["A: Red", "C: Blue"], {"label": "A"}, "option_prefix"),
        ({"A": "Red", "C": "Blue"}, {"label": "A"}, "option_prefix"),
        (["Red"], {"label": "A"}, "too_few_options"),
        (list("klmnopqrstu"), {"label": "A"}, "too_many_options"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_rejected(options: Any, given: Any, expected: str) -> None:
    assert rule(choice_answer, options, **given) == expected


def test_the_kind_of_a_free_answer() -> None:
    kinds = {"Yes": "yes_no", "没有": "yes_no", "5.6 cm": "number", "3": "number", "Left lung.": "short_text"}
    kinds |= {"1,200 mL": "number", "5 to 10 mm": "number", "120/80": "number", "5 µm": "number", "-1.8": "number"}
    kinds |= {"1,2": "short_text", "12,00 mL": "short_text", "5to10": "short_text", "9" * 50: "short_text"}
    assert {answer: free_answer_kind(answer) for answer in kinds} == kinds
    assert free_answer_kind("one two three four five six seven eight nine") == "open"
    assert free_answer_kind("") == "open", "an empty answer is nothing that a rule could check"


def test_a_cell_is_text_or_a_number() -> None:
    cells = {" a ": "a", 3: "3", 2.5: "2.5", None: "", float("nan"): "", "N/A": "N/A"}
    assert [text_of(cell, "x") for cell in cells] == list(cells.values())
    wrong: list[object] = [[], {}, True]
    assert [rule(text_of, cell, "x") for cell in wrong] == ["wrong_type"] * 3


# Image tags and conversations


@pytest.mark.parametrize(
    ("text", "clean", "offsets"),
    [
        ("<image>\nWhich side?", "Which side?", [0]),
        ("Which side?\n<image>", "Which side?", [11]),
        ("Compare <image> with <image> now", "Compare with now", [8, 13]),
        ("<image 1><image 2>Same?", "Same?", [0, 0]),
        ("<image>", "", [0]),
        (" no tag ", "no tag", []),
        ("这张图<image>是什么?", "这张图 是什么?", [4]),
    ],
)
def test_image_tags_become_positions(text: str, clean: str, offsets: list[int]) -> None:
    assert split_image_tags(text) == (clean, offsets)


def test_an_image_without_a_tag_stands_before_the_first_question() -> None:
    messages = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "What is this?"},
        {"from": "gpt", "value": "A lung."},
        {"from": "human", "value": "And this <image>?"},
        {"from": "gpt", "value": "A liver."},
    ]
    turns, slots = conversation(messages, images=2)
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant"]
    assert slots == (ImageSlot(1, 0), ImageSlot(3, 9))
    assert turns[3].content == "And this ?"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (None, "no_conversation"),
        ([], "no_conversation"),
        ("hello", "no_conversation"),
        (["hello"], "no_conversation"),
        ([{"from": "narrator", "value": "x"}], "unknown_role"),
        ([{"from": "human", "value": "x"}], "turn_order"),
        ([{"from": "gpt", "value": "x"}, {"from": "human", "value": "y"}], "turn_order"),
        ([{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}], "image_count"),
        ([{"from": "human", "value": ["x"]}, {"from": "gpt", "value": "x"}], "wrong_type"),
    ],
)
def test_a_broken_conversation_is_rejected(messages: object, expected: str) -> None:
    assert rule(conversation, messages, images=0) == expected


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("Just this.", "", "Just this."),
        ("<think>\nhm\n</think>\n\nForty.", "hm", "Forty."),
        ("<think></think>Forty.", "", "Forty."),
        ("<think>hm</think><answer> 40 </answer>", "hm", "40"),
        (
            "<|begin_of_thought|> hm <|end_of_thought|> <|begin_of_solution|> 40 <|end_of_solution|>",
            "hm",
            "40",
        ),
        ("<|begin_of_solution|>40<|end_of_solution|>", "", "40"),
        (
            "<SUMMARY> s </SUMMARY> <REASONING> r </REASONING> <CONCLUSION> 40 </CONCLUSION>",
            "<SUMMARY> s </SUMMARY> <REASONING> r </REASONING>",
            "40",
        ),
    ],
)
def test_reasoning_and_answer_come_apart(text: str, thought: str, answer: str) -> None:
    assert split_thought(text) == (thought, answer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>cut off", "unclosed_thought"),
        ("cut off</think>Forty.", "unclosed_thought"),
        ("<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>cut", "unclosed_thought"),
        ("<REASONING>r</REASONING><CONCLUSION>cut", "unclosed_thought"),
        ("<think>a</think><think>b</think>c", "misplaced_thought"),
        ("Well. <think>a</think>c", "misplaced_thought"),
        ("</think>a<think>", "misplaced_thought"),
        ("<think>a</think>b<|begin_of_solution|>c<|end_of_solution|>", "misplaced_thought"),
    ],
)
def test_reasoning_that_does_not_end_is_rejected(text: str, expected: str) -> None:
    assert rule(split_thought, text) == expected


# SLAKE


def slake_row(qid: int, **changes: Any) -> dict[str, Any]:
    row = {
        "img_id": 7,
        "img_name": "xmlab7/source.jpg",
        "question": "Where is the bright disc?",
        "answer": "Left",
        "q_lang": "en",
        "location": "Chest_lung",
        "modality": "X-Ray",
        "answer_type": "CLOSED",
        "base_type": "vqa",
        "content_type": "Position",
        "triple": ["vhead", "_", "_"],
        "qid": qid,
    }
    return {**row, **changes}


@pytest.mark.parametrize("layout", ["imgs/xmlab7/source.jpg", "xmlab7/source.jpg", "imgs.zip"])
@pytest.mark.parametrize("name", ["validation.json", "validate.json"])
def test_slake_reads_both_names_and_every_place_of_images(layout: str, name: str, tmp_path: Path) -> None:
    put_json(tmp_path / name, [slake_row(0), slake_row(1, answer="Coronal   Plane", answer_type="OPEN")])
    if layout.endswith(".zip"):
        with ZipFile(tmp_path / layout, "w") as archive:
            archive.writestr("imgs/xmlab7/source.jpg", b"")
            archive.writestr("imgs/xmlab7/mask.png", b"")
    else:
        put_images(tmp_path, layout)
    (first, second), rejected = read("slake", tmp_path, "validation")
    assert not rejected
    expected = layout + "!imgs/xmlab7/source.jpg" if layout.endswith(".zip") else layout
    assert first.images == (expected,)
    assert (first.row_key, first.group, first.lang, first.answer_kind) == ("0", "xmlab7", "en", "short_text")
    assert (first.modality, first.organ, first.question_type) == ("X-Ray", "Chest_lung", "Position")
    assert first.meta == {
        "base_type": "vqa",
        "answer_type": "CLOSED",
        "triple": ["vhead", "_", "_"],
        "img_name": "xmlab7/source.jpg",
    }
    assert second.answer == "Coronal Plane"


def test_slake_takes_the_languages_asked_for(tmp_path: Path) -> None:
    put_images(tmp_path, "imgs/xmlab7/source.jpg")
    rows = [slake_row(0), slake_row(1, q_lang="zh", question="有没有病灶?", answer="没有"), slake_row(2, q_lang="fr")]
    put_json(tmp_path / "test.json", rows)
    both, rejected = read("slake", tmp_path, "test")
    assert [sample.lang for sample in both] == ["en", "zh"]
    assert both[1].answer_kind == "yes_no"
    assert rejected == {"unknown_language": 1}
    assert [sample.row_key for sample in read("slake", tmp_path, "test", languages=["zh"])[0]] == ["1"]
    with pytest.raises(ValidationError):
        read("slake", tmp_path, "test", languages=["fr"])


def test_slake_never_takes_another_folders_image(tmp_path: Path) -> None:
    """All of SLAKE's images are called source.jpg, so that a half-unpacked folder must not answer for the rest."""
    put_images(tmp_path, "imgs/xmlab1/source.jpg")
    put_json(tmp_path / "train.json", [slake_row(0), slake_row(1, img_name="xmlab1/source.jpg")])
    samples, rejected = read("slake", tmp_path)
    assert [sample.group for sample in samples] == ["xmlab1"]
    assert rejected == {"image_missing": 1}


def test_slake_keeps_an_empty_answer_for_the_filters_to_drop(tmp_path: Path) -> None:
    put_images(tmp_path, "imgs/xmlab7/source.jpg")
    put_json(tmp_path / "train.json", [slake_row(1622, answer="")])
    samples, _ = read("slake", tmp_path)
    assert (samples[0].answer, samples[0].answer_kind) == ("", "open")


# MedQA


def medqa_row(**changes: Any) -> dict[str, Any]:
    row = {
        "question": "Which gas do lungs take up?",
        "answer": "Oxygen",
        "options": {"A": "Helium", "B": "Oxygen", "C": "Neon", "D": "Argon"},
        "meta_info": "step1",
        "answer_idx": "B",
        "metamap_phrases": ["gas"],
    }
    return {**row, **changes}


@pytest.mark.parametrize(
    "name", ["phrases_no_exclude_dev.jsonl", "dev.jsonl", "data/validation-00000-of-00001.parquet"]
)
def test_medqa_reads_every_layout(name: str, tmp_path: Path) -> None:
    five = {"A": "Helium", "B": "Oxygen", "C": "Neon", "D": "Argon", "E": "Xenon"}
    rows = [medqa_row(), medqa_row(options=five)]
    if name.endswith(".parquet"):
        put_parquet(tmp_path / name, rows)
    else:
        put_lines(tmp_path / name, rows)
    (four, more), rejected = read("medqa", tmp_path, "validation")
    assert not rejected
    assert four.options == ("Helium", "Oxygen", "Neon", "Argon"), "a null option of the struct is no option"
    assert more.options == tuple(five.values())
    assert (four.answer, four.answer_label, four.answer_kind, four.task) == ("Oxygen", "B", "choice", "step1")
    assert four.row_key is None
    assert four.meta == {"meta_info": "step1"}


def test_medqa_reads_options_as_a_list_of_keys_and_values(tmp_path: Path) -> None:
    options = [{"key": "A", "value": "Helium"}, {"key": "B", "value": "Oxygen"}]
    put_parquet(tmp_path / "train-00000-of-00001.parquet", [medqa_row(options=options)])
    assert read("medqa", tmp_path)[0][0].options == ("Helium", "Oxygen")


def test_medqa_rejects_rows_whose_letter_and_text_disagree(tmp_path: Path) -> None:
    rows = [
        medqa_row(answer_idx="A"),
        medqa_row(answer="Steam"),
        medqa_row(answer_idx="E"),
        medqa_row(options="Helium"),
        medqa_row(answer=None, answer_idx=None),
    ]
    put_lines(tmp_path / "test.jsonl", rows)
    assert read("medqa", tmp_path, "test") == (
        [],
        {
            "label_text_disagree": 1,
            "answer_not_in_options": 1,
            "label_out_of_range": 1,
            "wrong_type": 1,
            "unlabelled": 1,
        },
    )


def test_several_files_that_could_be_meant_are_an_error(tmp_path: Path) -> None:
    put_lines(tmp_path / "US" / "train.jsonl", [medqa_row()])
    put_lines(tmp_path / "Taiwan" / "train.jsonl", [medqa_row()])
    with pytest.raises(SourceError, match=r"Taiwan/train\.jsonl, US/train\.jsonl.*point `location` at one"):
        read("medqa", tmp_path)
    assert len(read("medqa", tmp_path / "US" / "train.jsonl")[0]) == 1


# MedMCQA


def medmcqa_row(cop: Any, **changes: Any) -> dict[str, Any]:
    row = {
        "id": f"id-{cop}",
        "question": "Which organ makes bile?",
        "opa": "Liver",
        "opb": "Spleen",
        "opc": "Heart",
        "opd": "Lung",
        "cop": cop,
        "choice_type": "single",
        "exp": "Bile is made by the liver.",
        "subject_name": "Physiology",
        "topic_name": None,
    }
    return {**row, **changes}


def test_medmcqa_counts_from_one_where_a_four_occurs(tmp_path: Path) -> None:
    put_lines(tmp_path / "dev.json", [medmcqa_row(1), medmcqa_row(4), medmcqa_row(5), medmcqa_row(None)])
    samples, rejected = read("medmcqa", tmp_path, "validation")
    assert [(sample.answer_label, sample.answer) for sample in samples] == [("A", "Liver"), ("D", "Lung")]
    assert rejected == {"label_out_of_range": 1, "unlabelled": 1}
    first = samples[0]
    assert (first.row_key, first.task, first.rationale) == ("id-1", "Physiology", "Bile is made by the liver.")
    assert first.meta == {"choice_type": "single"}


def test_medmcqa_counts_from_zero_where_a_zero_occurs(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.jsonl", [medmcqa_row(0), medmcqa_row(3)])
    samples, _ = read("medmcqa", tmp_path)
    assert [sample.answer for sample in samples] == ["Liver", "Lung"]


def test_medmcqa_believes_the_class_label_of_a_hub_file(tmp_path: Path) -> None:
    path = tmp_path / "data" / "train-00000-of-00001.parquet"
    features = {"cop": {"names": ["a", "b", "c", "d"], "_type": "ClassLabel"}}
    put_parquet(path, [medmcqa_row(1), medmcqa_row(2)], features)
    assert [sample.answer for sample in read("medmcqa", tmp_path)[0]] == ["Spleen", "Heart"]
    put_parquet(path, [medmcqa_row(1), medmcqa_row(4)], features)
    with pytest.raises(SourceError, match="contradictory"):
        read("medmcqa", tmp_path)


def test_medmcqa_with_a_zero_and_a_four_is_contradictory(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.json", [medmcqa_row(0), medmcqa_row(4)])
    with pytest.raises(SourceError, match="contradictory: both 0 and 4"):
        read("medmcqa", tmp_path)


def test_medmcqa_without_evidence_asks_for_the_option(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.json", [medmcqa_row(1), medmcqa_row(2)])
    with pytest.raises(SourceError, match=r"set option `cop_base: 0\|1`"):
        read("medmcqa", tmp_path)
    assert [sample.answer for sample in read("medmcqa", tmp_path, cop_base=1)[0]] == ["Liver", "Spleen"]
    assert [sample.answer for sample in read("medmcqa", tmp_path, cop_base=0)[0]] == ["Spleen", "Heart"]


def test_medmcqa_refuses_an_option_that_the_rows_contradict(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.json", [medmcqa_row(1), medmcqa_row(4)])
    with pytest.raises(SourceError, match="counts from 1, but option `cop_base` says 0"):
        read("medmcqa", tmp_path, cop_base=0)


SPOKEN = ["Ans. is 'b' i.e., Spleen", "Answer- (B) Spleen", "Ans: b", "ANS. B", "Ans. (b) Spleen. Ref: none"]


def test_medmcqa_listens_to_explanations_where_the_labels_are_silent(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.json", [medmcqa_row(2, id=text, exp=text) for text in SPOKEN])
    samples, _ = read("medmcqa", tmp_path)
    assert {sample.answer for sample in samples} == {"Spleen"}


def test_medmcqa_does_not_listen_to_few_or_disagreeing_explanations(tmp_path: Path) -> None:
    put_lines(tmp_path / "train.json", [medmcqa_row(2, exp=text) for text in SPOKEN[:4]])
    with pytest.raises(SourceError, match="cop_base"):
        read("medmcqa", tmp_path)
    put_lines(tmp_path / "train.json", [medmcqa_row(2, exp=text) for text in (*SPOKEN, "Ans. is 'c'")])
    with pytest.raises(SourceError, match="cop_base"):
        read("medmcqa", tmp_path)


def test_medmcqa_rows_without_a_label_are_rejected_without_evidence(tmp_path: Path) -> None:
    put_lines(tmp_path / "test.json", [medmcqa_row(-1), {**medmcqa_row(0), "cop": None}])
    assert read("medmcqa", tmp_path, "test") == ([], {"unlabelled": 2})


# PubMedQA


def pubmed_row(decision: str | None = "yes") -> dict[str, Any]:
    row = {
        "QUESTION": "Does rest help?",
        "CONTEXTS": ["We studied rest.", "Half of them rested."],
        "LABELS": ["BACKGROUND", "METHODS"],
        "MESHES": ["Rest"],
        "YEAR": "2001",
        "LONG_ANSWER": "Rest helped.",
    }
    return row if decision is None else {**row, "final_decision": decision}


def test_pubmedqa_splits_by_the_official_test_ids(tmp_path: Path) -> None:
    put_json(tmp_path / "ori_pqal.json", {"11": pubmed_row("Yes"), "12": pubmed_row("maybe"), "13": pubmed_row("no")})
    put_json(tmp_path / "test_ground_truth.json", {"12": "maybe"})
    train, _ = read("pubmedqa", tmp_path, "train")
    test, _ = read("pubmedqa", tmp_path, "test")
    labeled, _ = read("pubmedqa", tmp_path, "labeled")
    assert [[sample.row_key for sample in split] for split in (train, test, labeled)] == [
        ["11", "13"],
        ["12"],
        ["11", "12", "13"],
    ]
    first = train[0]
    assert first.question == "We studied rest.\nHalf of them rested.\n\nDoes rest help?"
    assert (first.options, first.answer, first.answer_label) == (("yes", "no", "maybe"), "yes", "A")
    assert (first.group, first.rationale, first.answer_kind) == ("PMID11", "Rest helped.", "choice")
    assert first.meta == {
        "bare_question": "Does rest help?",
        "labels": ["BACKGROUND", "METHODS"],
        "meshes": ["Rest"],
        "year": "2001",
    }


def test_pubmedqa_without_the_test_ids_names_the_way_on(tmp_path: Path) -> None:
    put_json(tmp_path / "ori_pqal.json", {"11": pubmed_row()})
    for split in ("train", "test"):
        with pytest.raises(SourceError, match=r"test_ground_truth\.json.*split 'labeled' reads all"):
            read("pubmedqa", tmp_path, split)
    assert len(read("pubmedqa", tmp_path, "labeled")[0]) == 1


def test_pubmedqa_with_broken_test_ids_is_an_error(tmp_path: Path) -> None:
    put_json(tmp_path / "ori_pqal.json", {"11": pubmed_row()})
    (tmp_path / "test_ground_truth.json").write_text('{"11": "ye')
    with pytest.raises(SourceError, match="cannot be read"):
        read("pubmedqa", tmp_path)


def test_pubmedqa_rejects_other_decisions(tmp_path: Path) -> None:
    rows = {"11": pubmed_row("perhaps"), "12": pubmed_row(None), "13": pubmed_row("yes")}
    put_json(tmp_path / "ori_pqal.json", rows)
    put_json(tmp_path / "test_ground_truth.json", {"13": "no"})
    assert read("pubmedqa", tmp_path, "train") == ([], {"answer_not_in_options": 1, "unlabelled": 1})
    assert read("pubmedqa", tmp_path, "test") == ([], {"label_text_disagree": 1})


def test_pubmedqa_reads_the_hubs_sets(tmp_path: Path) -> None:
    row = {
        "pubid": 11,
        "question": "Does rest help?",
        "context": {"contexts": ["We studied rest."], "labels": ["METHODS"], "meshes": ["Rest"]},
        "long_answer": "Rest helped.",
    }
    for name in ("pqa_labeled", "pqa_artificial"):
        put_parquet(tmp_path / name / "train-00000-of-00001.parquet", [{**row, "final_decision": "no"}])
    put_parquet(tmp_path / "pqa_unlabeled" / "train-00000-of-00001.parquet", [row])
    for split in ("labeled", "artificial"):
        (sample,), _ = read("pubmedqa", tmp_path, split)
        assert (sample.row_key, sample.answer, sample.answer_label) == ("11", "no", "B")
        assert sample.question == "We studied rest.\n\nDoes rest help?"
    (sample,), _ = read("pubmedqa", tmp_path, "unlabeled")
    assert (sample.answer, sample.answer_kind, sample.options, sample.rationale) == ("Rest helped.", "open", (), "")


# HuatuoGPT-o1


def test_medical_o1_reads_the_files_of_the_languages_asked_for(tmp_path: Path) -> None:
    row = {"Question": "Why rest?", "Complex_CoT": "Let me see.", "Response": "To heal."}
    put_json(tmp_path / "medical_o1_sft.json", [row])
    put_lines(tmp_path / "medical_o1_sft_Chinese.jsonl", [{**row, "Question": "为什么要休息?"}])
    put_json(tmp_path / "medical_o1_sft_mix.json", [row, row])
    (english,), _ = read("medical_o1", tmp_path)
    assert (english.question, english.rationale, english.answer) == ("Why rest?", "Let me see.", "To heal.")
    assert (english.answer_kind, english.lang, english.row_key) == ("open", "en", None)
    assert [sample.lang for sample in read("medical_o1", tmp_path, languages=["en", "zh"])[0]] == ["en", "zh"]
    assert len(read("medical_o1", tmp_path, mix=True)[0]) == 2
    with pytest.raises(SourceError, match=r"medical_o1_sft_mix_Chinese\.json"):
        read("medical_o1", tmp_path, mix=True, languages=["zh"])


def test_medical_o1_reads_verifiable_problems(tmp_path: Path) -> None:
    row = {"Open-ended Verifiable Question": "Which vitamin?", "Ground-True Answer": "Vitamin K"}
    put_json(tmp_path / "medical_o1_verifiable_problem.json", [row, {"Question": "Why?"}])
    (sample,), rejected = read("medical_o1", tmp_path, file="verifiable")
    assert (sample.question, sample.answer, sample.answer_kind) == ("Which vitamin?", "Vitamin K", "short_text")
    assert rejected == {"missing_field": 1}


def test_medical_o1_reads_a_file_of_any_name_that_is_pointed_at(tmp_path: Path) -> None:
    old = {
        "Question": "Why?",
        "Complex_CoT": "Hm.",
        "Response": "So.",
        "Open-ended Verifiable Question": "Why?",
        "Ground-True Answer": "3",
    }
    path = put_json(tmp_path / "old.json", [old])
    assert read("medical_o1", path)[0][0].rationale == "Hm."
    assert read("medical_o1", path, file="verifiable")[0][0].answer_kind == "number"


# LLaVA


def pair(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def test_llava_reads_both_spellings_and_every_form_of_image(tmp_path: Path) -> None:
    put_images(tmp_path, "images/p1.jpg", "images/p2.jpg")
    roles = [{"role": "user", "content": "Organ?"}, {"role": "assistant", "content": "Lung"}]
    rows: list[dict[str, Any]] = [
        {"id": "a", "image": "p1.jpg", "conversations": pair("<image>\nSide?", "Left")},
        {"id": "b", "image": ["images/p1.jpg", "images/p2.jpg"], "conversatons": pair("Same <image> or not?", "No")},
        {"id": "c", "image": None, "conversations": pair("What is an X-ray?", "A picture.")},
        {"id": 4, "conversations": pair("What is CT?", "It is a way of taking pictures of slices of a body.")},
        {"id": "e", "images": "p2.jpg", "messages": roles},
    ]
    put_json(tmp_path / "instruct.json", rows)
    samples, rejected = read("llava", tmp_path)
    assert not rejected
    assert [sample.row_key for sample in samples] == ["a", "b", "c", "4", "e"]
    assert [sample.images for sample in samples] == [
        ("images/p1.jpg",),
        ("images/p1.jpg", "images/p2.jpg"),
        (),
        (),
        ("images/p2.jpg",),
    ]
    assert samples[0].question == "Side?"
    assert samples[1].question == "Same or not?"
    assert samples[1].image_slots == (ImageSlot(0, 0), ImageSlot(0, 5))
    assert [sample.answer_kind for sample in samples] == ["short_text", "yes_no", "short_text", "open", "short_text"]


@pytest.mark.parametrize("archive", ["images.zip", "images.tar"])
def test_llava_finds_images_in_archives(archive: str, tmp_path: Path) -> None:
    put_lines(tmp_path / "train.jsonl", [{"id": "a", "image": "p1.jpg", "conversations": pair("Side?", "Left")}])
    put_images(tmp_path / "src", "images/p1.jpg")
    if archive.endswith(".zip"):
        with ZipFile(tmp_path / archive, "w") as opened:
            opened.write(tmp_path / "src/images/p1.jpg", "images/p1.jpg")
    else:
        with tarfile.open(tmp_path / archive, "w") as tar:
            tar.add(tmp_path / "src/images", "./images")
    (tmp_path / "src/images/p1.jpg").unlink()
    assert read("llava", tmp_path)[0][0].images == (f"{archive}!images/p1.jpg",)


def test_llava_keeps_longer_conversations_whole(tmp_path: Path) -> None:
    put_images(tmp_path, "p1.jpg")
    messages = [*pair("What is it?", "A lung."), *pair("Look again: <image>", "Still a lung.")]
    put_json(tmp_path / "train.json", [{"id": "a", "image": "p1.jpg", "conversations": messages}])
    (sample,), _ = read("llava", tmp_path)
    assert (sample.question, sample.answer, sample.answer_kind) == ("", "", "open")
    assert sample.turns == (
        Turn("user", "What is it?"),
        Turn("assistant", "A lung."),
        Turn("user", "Look again:"),
        Turn("assistant", "Still a lung."),
    )
    assert sample.image_slots == (ImageSlot(2, 11),)


def test_llava_rejects_rows_whose_images_are_gone_or_miscounted(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "image": "gone.jpg", "conversations": pair("Side?", "Left")},
        {"id": "b", "image": None, "conversations": pair("<image>Side?", "Left")},
        {"id": "c", "image": "../out.jpg", "conversations": pair("Side?", "Left")},
        {"id": "d"},
    ]
    put_json(tmp_path / "train.json", rows)
    assert read("llava", tmp_path) == (
        [],
        {"image_missing": 1, "image_count": 1, "image_outside_root": 1, "no_conversation": 1},
    )


def test_llava_reads_the_domain_as_modality(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "domain": {"ct_scan": True, "mri": False}, "conversations": pair("Side?", "Left")},
        {"id": "b", "domain": {"ct_scan": True, "mri": True}, "conversations": pair("Side?", "Left")},
        {"id": "c", "modality": "Microscopy", "body_part": "Skin", "conversations": pair("Side?", "Left")},
    ]
    put_json(tmp_path / "train.json", rows)
    samples, _ = read("llava", tmp_path)
    assert [(sample.modality, sample.organ) for sample in samples] == [
        ("ct_scan", None),
        (None, None),
        ("Microscopy", "Skin"),
    ]
    assert samples[1].meta == {"domain": ["ct_scan", "mri"]}


def test_llava_cot_stages_become_rationale_and_answer(tmp_path: Path) -> None:
    text = (
        "<SUMMARY> s </SUMMARY>\n\n<CAPTION> c </CAPTION>\n\n<REASONING> r </REASONING>\n\n<CONCLUSION> B </CONCLUSION>"
    )
    put_lines(tmp_path / "train.jsonl", [{"id": "a", "conversations": pair("Which?", text)}])
    (sample,), _ = read("llava", tmp_path)
    assert sample.answer == "B"
    assert sample.rationale == text.partition("\n\n<CONCLUSION>")[0]


def test_llava_can_leave_repeating_ids_aside(tmp_path: Path) -> None:
    put_json(tmp_path / "train.json", [{"id": "a", "key": 1, "conversations": pair("Side?", "Left")}])
    assert read("llava", tmp_path, id_field=None)[0][0].row_key is None
    assert read("llava", tmp_path, id_field="key")[0][0].row_key == "1"


def test_llava_reads_the_file_asked_for_among_several(tmp_path: Path) -> None:
    put_json(tmp_path / "one.json", [{"id": "one", "conversations": pair("Side?", "Left")}])
    put_json(tmp_path / "two.json", [{"id": "two", "conversations": pair("Side?", "Left")}])
    put_json(tmp_path / "images" / "detection.json", {})
    with pytest.raises(SourceError, match=r"one\.json, two\.json"):
        read("llava", tmp_path)
    assert read("llava", tmp_path, file="two.json")[0][0].row_key == "two"
    assert read("llava", tmp_path / "one.json")[0][0].row_key == "one"


# Chat

THOUGHT = (
    "<|begin_of_thought|>\n\nSix sevens.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\n42\n\n<|end_of_solution|>"
)


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "data/train-00000-of-00001.parquet"])
def test_chat_reads_messages_and_sharegpt(name: str, tmp_path: Path) -> None:
    share = [{"from": "user", "value": "6 x 7?"}, {"from": "assistant", "value": THOUGHT}]
    role = [{"role": "user", "content": "6 x 7?"}, {"role": "assistant", "content": "<think>Six sevens.</think>42"}]
    for column, messages in (("conversations", share), ("messages", role)):
        rows = [{"system": "Think.", column: messages}]
        if name.endswith(".parquet"):
            put_parquet(tmp_path / name, rows)
        elif name.endswith(".jsonl"):
            put_lines(tmp_path / name, rows)
        else:
            put_json(tmp_path / name, rows)
        (sample,), rejected = read("chat", tmp_path)
        assert not rejected
        assert (sample.question, sample.rationale, sample.answer) == ("6 x 7?", "Six sevens.", "42")
        assert (sample.answer_kind, sample.turns, sample.row_key) == ("open", (), None)
        assert sample.meta == {"system": "Think."}


def test_chat_keeps_longer_conversations_whole_with_the_last_reasoning(tmp_path: Path) -> None:
    messages = [*pair("6 x 7?", "<think>a</think>42"), *pair("And 6 x 8?", "<think>b</think>48")]
    put_json(tmp_path / "rows.json", [{"id": 5, "system": "Think.", "conversations": messages}])
    (sample,), _ = read("chat", tmp_path)
    assert [turn.content for turn in sample.turns] == ["Think.", "6 x 7?", "42", "And 6 x 8?", "48"]
    assert (sample.question, sample.answer, sample.rationale, sample.row_key) == ("", "", "b", "5")


def test_chat_rejects_cut_off_replies_and_rows_with_images(tmp_path: Path) -> None:
    rows = [
        {"conversations": pair("6 x 7?", THOUGHT[:40])},
        {"conversations": pair("<image>Side?", "Left")},
        {"image": "x.jpg", "conversations": pair("Side?", "Left")},
        {"conversations": pair("6 x 7?", "42")[:1]},
        {"problem": "6 x 7?"},
    ]
    put_lines(tmp_path / "rows.jsonl", rows)
    assert read("chat", tmp_path) == (
        [],
        {"unclosed_thought": 1, "image_count": 2, "turn_order": 1, "no_conversation": 1},
    )


def test_chat_asks_which_of_two_configurations_is_meant(tmp_path: Path) -> None:
    for folder in ("data", "metadata"):
        for shard in range(2):
            put_parquet(tmp_path / folder / f"train-0000{shard}-of-00002.parquet", [{"conversations": pair("1?", "1")}])
    with pytest.raises(SourceError, match="several files"):
        read("chat", tmp_path)
    assert len(read("chat", tmp_path, file="data/*.parquet")[0]) == 2


# VQA-RAD


def test_vqa_rad_reads_numbers_and_splits_the_osf_file(tmp_path: Path) -> None:
    put_images(tmp_path, "VQA_RAD Image Folder/synpic1.jpg")
    row = {
        "qid": 1,
        "image_name": "synpic1.jpg",
        "image_organ": "HEAD",
        "answer": 3,
        "answer_type": "OPEN ",
        "question_type": "count",
        "question": "How many?",
        "phrase_type": "freeform",
    }
    put_json(tmp_path / "VQA_RAD Dataset Public.json", [row, {**row, "qid": 2, "phrase_type": "test_freeform"}])
    (train,), _ = read("vqa_rad", tmp_path, "train")
    (test,), _ = read("vqa_rad", tmp_path, "test")
    assert (train.row_key, train.answer, train.answer_kind) == ("1", "3", "number")
    assert (train.group, train.question_type, train.meta["answer_type"]) == ("synpic1", "COUNT", "OPEN")
    assert test.row_key == "2"


# The original releases


@real
@pytest.mark.parametrize(("split", "rows"), [("train", 3064), ("test", 451)])
def test_real_vqa_rad(split: str, rows: int) -> None:
    samples, rejected = read("vqa_rad", REAL / "vqa_rad", split)
    assert (len(samples), rejected) == (rows, {})
    assert len({sample.row_key for sample in samples}) == rows


@real
@pytest.mark.parametrize(("split", "rows"), [("train", 9835), ("validation", 2099), ("test", 2094)])
def test_real_slake_without_its_images_is_rejected_row_by_row(split: str, rows: int) -> None:
    assert read("slake", REAL / "slake", split) == ([], {"image_missing": rows})


@real
def test_real_slake_with_stand_ins_for_its_images(tmp_path: Path) -> None:
    """642 images exist; rows name 642 folders over all splits and languages."""
    english = Counter[str]()
    empty = []
    put_images(tmp_path, *(f"imgs/xmlab{number}/source.jpg" for number in range(642)))
    for split, name in (("train", "train"), ("validation", "validate"), ("test", "test")):
        (tmp_path / f"{name}.json").write_bytes((REAL / "slake" / f"{name}.json").read_bytes())
        samples, rejected = read("slake", tmp_path, split, languages=["en"])
        assert not rejected
        english[split] = len(samples)
        empty += [sample.row_key for sample in samples if not sample.answer]
        assert not any("  " in sample.answer for sample in samples)
    assert english == {"train": 4919, "validation": 1053, "test": 1061}
    assert empty == ["1622"]


@real
def test_real_medqa() -> None:
    samples, rejected = read("medqa", REAL / "medqa", "test")
    assert (len(samples), rejected) == (1273, {})
    assert Counter(sample.task for sample in samples) == {"step1": 679, "step2&3": 594}


@real
def test_real_medmcqa_labels_are_as_published() -> None:
    samples, rejected = read("medmcqa", REAL / "medmcqa", "validation")
    assert (len(samples), rejected) == (4183, {})
    assert Counter(sample.answer_label for sample in samples) == {"A": 1348, "B": 1085, "C": 925, "D": 825}


@real
def test_real_medmcqa_explanations_settle_the_base_alone(tmp_path: Path) -> None:
    """Without the rows whose `cop` is 4, only explanations such as "Ans. is 'b'" tell the base, and rightly."""
    rows = map(json.loads, (REAL / "medmcqa" / "dev.json").read_text(encoding="utf-8").splitlines())
    put_lines(tmp_path / "dev.json", [row for row in rows if row["cop"] != 4])
    samples, _ = read("medmcqa", tmp_path, "validation")
    assert Counter(sample.answer_label for sample in samples) == {"A": 1348, "B": 1085, "C": 925}


@real
def test_real_pubmedqa_has_the_official_test_split() -> None:
    train, _ = read("pubmedqa", REAL / "pubmedqa", "train")
    test, _ = read("pubmedqa", REAL / "pubmedqa", "test")
    labeled, rejected = read("pubmedqa", REAL / "pubmedqa", "labeled")
    assert (len(train), len(test), len(labeled), rejected) == (500, 500, 1000, {})
    assert Counter(sample.answer for sample in test) == {"yes": 276, "no": 169, "maybe": 55}


@real
@pytest.mark.parametrize(("file", "reasoned"), [("sft", True), ("verifiable", False)])
def test_real_huatuo_o1(file: str, reasoned: bool) -> None:
    samples, rejected = read("medical_o1", REAL / "huatuo_o1" / "demo_data.json", file=file)
    assert (len(samples), rejected) == (198, {})
    assert all(bool(sample.rationale) == reasoned and sample.answer for sample in samples)
