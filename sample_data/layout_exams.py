"""Text sets with questions, options or reasoning: exams, distilled reasoning, mathematics and chats."""

from __future__ import annotations

from typing import Final

from disk import (
    INT32,
    STRING,
    Row,
    World,
    class_label,
    list_of,
    write_json,
    write_jsonl,
    write_parquet,
)
from invented import EXAM, exam, lettered, pair

_TURN: Final[Row] = {"from": STRING, "value": STRING}
_BOOL: Final[Row] = {"dtype": "bool", "_type": "Value"}
_PART: Final = "train-00000-of-00001.parquet"
_THOUGHT: Final = "I go through the options one by one. Only one of them fits."


def write_medical_r1(world: World) -> None:
    """`medical_r1/`: columns whose names hold spaces and brackets."""
    for name, question in (("en", EXAM[0][0]), ("zh", "哪个器官产生胆汁?")):
        row = {
            "question": question,
            "reasoning (reasoning_content)": _THOUGHT,
            "response (content)": "The liver makes bile." if name == "en" else "肝脏产生胆汁。",
        }
        rows = [row, {**row, "response (content)": "<think>cut off"}] if name == "en" else [row]
        write_json(world.root / f"medical_r1/medical_r1_distill_sft{'_Chinese' * (name == 'zh')}.json", rows)


def write_m23k(world: World) -> None:
    """`m23k/`: options inside the prompt, answers in three columns that agree or do not."""
    texts = (
        "source", "metadata", "prompt", "answer_letter", "answer_string", "reasoning", "distilled_answer_string", "text"
    )  # fmt: skip
    features = {"answer_idx": {"dtype": "int64", "_type": "Value"}, **dict.fromkeys(texts, STRING)}
    rows: list[Row] = []
    for index, source in enumerate(["qiaojin/PubMedQA", "openlifescienceai/medmcqa", "GBaker/MedQA", "head_qa", "x"]):
        question, options, letter, text = exam(index)
        rows.append({
            "answer_idx": "ABCD".index(letter), "source": source,
            "metadata": repr({"pubid": 99000001}) if index == 0 else repr({"id": index}),
            "prompt": f"{question}\n{lettered(options)}", "answer_letter": letter, "answer_string": text,
            "reasoning": _THOUGHT, "distilled_answer_string": f"The answer is {letter}.",
            "text": f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>think\n{_THOUGHT}<|im_end|>",
        })  # fmt: skip
    rows[2]["answer_string"] = rows[2]["prompt"].split("\n")[1][3:]
    rows[3]["answer_idx"] = 0
    rows[4]["prompt"] = EXAM[4][0]
    write_parquet(world.root / f"m23k/data/{_PART}", rows, features)


def write_mmlu(world: World) -> None:
    """`mmlu/`: a folder a subject; `mmlu_pro/`: health among other categories, up to ten options."""
    answer = class_label("ABCD")
    features = {"question": STRING, "subject": STRING, "choices": list_of(STRING), "answer": answer}
    subjects = (
        "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics",
        "professional_medicine",
    )  # fmt: skip
    for number, subject in enumerate(subjects):
        question, options, letter, _ = exam(number)
        row = {"question": question, "subject": subject, "choices": options, "answer": "ABCD".index(letter)}
        for split in ("test", "validation", "dev"):
            write_parquet(world.root / f"mmlu/{subject}/{split}-00000-of-00001.parquet", [row], features)
    pro = {
        "question_id": INT32, "question": STRING, "options": list_of(STRING), "answer": STRING,
        "answer_index": INT32, "cot_content": STRING, "category": STRING, "src": STRING,
    }  # fmt: skip
    rows = []
    for number, category in enumerate(["health", "law", "health", "health"]):
        question, options, letter, _ = exam(number)
        options += [f"Nothing of kind {n}" for n in range(1, 7)]
        index = "ABCD".index(letter) + (number == 3)
        rows.append({
            "question_id": 5000 + number, "question": question, "options": options, "answer": letter,
            "answer_index": index, "cot_content": "", "category": category, "src": "drawn",
        })  # fmt: skip
    write_parquet(world.root / "mmlu_pro/data/test-00000-of-00001.parquet", rows, pro)


def write_head_qa(world: World) -> None:
    """`head_qa/`: `ra` counted from 1, a question about an image; `head_qa_data/`: rows of one object."""
    answers = list_of({"aid": INT32, "atext": STRING})
    features = {
        "name": STRING, "year": STRING, "category": STRING, "qid": INT32, "qtext": STRING, "ra": INT32,
        "image": STRING, "answers": answers,
    }  # fmt: skip
    for language in ("en", "es"):
        rows: list[Row] = []
        for index in range(4):
            question, options, letter, _ = exam(index)
            listed = [{"aid": n, "atext": text} for n, text in enumerate(options, 1)]
            rows.append({
                "name": "Drawn_2013_1_M", "year": "2013", "category": "medicine", "qid": index + 1,
                "qtext": question if language == "en" else "¿Qué órgano produce la bilis?",
                "ra": "ABCD".index(letter) + 1, "image": "", "answers": listed,
            })  # fmt: skip
        rows[1]["image"] = "images/Drawn_2013_1_M_2.png"
        rows[2]["ra"] = 5
        for split, part in (("train", rows), ("validation", rows[:1]), ("test", rows[3:])):
            write_parquet(world.root / f"head_qa/{language}/{split}-00000-of-00001.parquet", part, features)
    question, options, letter, text = exam(5)
    data = {
        "Question": question, "Options": dict(zip("ABCD", options, strict=True)), "Correct Option": letter,
        "Correct Answer": text,
    }  # fmt: skip
    wrong = {**data, "Correct Answer": options[0]}
    write_jsonl(world.root / "head_qa_data/test.jsonl", [{"id": "1", "data": data}, {"id": "2", "data": wrong}])


def write_medreason(world: World) -> None:
    """`medreason/`: explanations in the answer, letters in brackets, rows made from evaluation sets."""
    rows: list[Row] = []
    for index, name in enumerate(["medqa", "medmcqa", "huatuo", "MMLU", "MedXpertQA", "LastHumanity", "medmcqa"]):
        question, options, letter, text = exam(index)
        answer = {
            "medmcqa": f"{text}. Explanation: It is drawn so.",
            "MedXpertQA": f"({letter}) {text}",
            "huatuo": "A tendon",
        }.get(name, text)  # fmt: skip
        listed = "" if name == "huatuo" else f"Answer Choices:\n{lettered(options)}"
        rows.append({
            "dataset_name": name, "id_in_dataset": index, "question": question, "answer": answer,
            "reasoning": f"Paths:\n1. {_THOUGHT}", "options": listed,
        })  # fmt: skip
    rows[6]["answer"] = "Steam. Explanation: It is not among them."
    write_jsonl(world.root / "medreason/ours_quality_33000.jsonl", rows)


def write_reasonmed(world: World) -> None:
    """`reasonmed/`: three files of three formats."""
    for name in ("ReasonMed", "CoTMed", "ResponseMed"):
        rows = []
        for index in range(2):
            question, options, letter, text = exam(index)
            output = {"CoTMed": _THOUGHT, "ResponseMed": f"{letter}. {text}"}.get(name, f"{_THOUGHT}\n\n{text}")
            rows.append({"instruction": f"{question}\n{lettered(options)}", "input": "", "output": output})
        write_json(world.root / f"reasonmed/{name}.json", rows)


def write_alphamed(world: World) -> None:
    """`alphamed/`: options inside the question, a letter as the answer."""
    rows = []
    for index in range(3):
        question, options, letter, _ = exam(index)
        rows.append({"question": f"{question}\n{lettered(options)}", "answer": letter if index < 2 else "E"})
    write_parquet(world.root / "alphamed/train19k.parquet", rows, {"question": STRING, "answer": STRING})


def write_medbullets(world: World) -> None:
    """`medbullets_op5/`, `medbullets_op4/`, `super_gpqa/` and HuatuoGPT-o1's evaluation file."""
    letters = [f"op{letter}" for letter in "abcde"]
    features = dict.fromkeys(("question", *letters, "answer", "answer_idx", "explanation", "link"), STRING)
    five: list[Row] = []
    four: list[Row] = []
    for index in range(3):
        question, options, letter, text = exam(index)
        question = f"{question} Figure A shows a drawing." if index == 1 else question
        five.append({
            "question": question, **dict(zip(letters, [*options, "None"], strict=True)), "answer": text,
            "answer_idx": letter, "explanation": _THOUGHT, "link": "",
        })  # fmt: skip
        four.append({
            "question": question, "options": dict(zip("ABCD", options, strict=True)), "answer": text,
            "answer_idx": letter,
        })  # fmt: skip
    five[2]["answer"] = "None"
    write_parquet(world.root / f"medbullets_op5/data/{_PART}", five, features)
    by_letter = dict.fromkeys("ABCDE", STRING)  # a null E, as where files of both kinds were joined
    write_parquet(
        world.root / f"medbullets_op4/data/{_PART}", four,
        {"question": STRING, "options": by_letter, "answer": STRING, "answer_idx": STRING},
    )  # fmt: skip
    write_json(world.root / "huatuo_eval/eval_data.json", {"MedQA_drawn": four[:2], "Drawn_Medbullets": [four[2]]})
    rows = []
    for index, discipline in enumerate(["Medicine", "Law"]):
        question, options, letter, text = exam(index)
        rows.append({
            "uuid": f"00{index}", "question": question, "options": options, "answer": text, "answer_letter": letter,
            "discipline": discipline, "field": "Drawn medicine", "subfield": "Drawn", "difficulty": "easy",
        })  # fmt: skip
    write_jsonl(world.root / "super_gpqa/SuperGPQA-all.jsonl", rows)


def write_openr1_math(world: World) -> None:
    """`openr1_math/`: lists of flags in step with the generations."""
    flags = list_of(_BOOL)
    features = {
        **dict.fromkeys(("problem", "solution", "answer", "problem_type", "question_type", "source", "uuid"), STRING),
        "is_reasoning_complete": flags, "generations": list_of(STRING), "correctness_math_verify": flags,
        "correctness_llama": flags, "finish_reasons": list_of(STRING), "correctness_count": INT32,
        "messages": list_of({"role": STRING, "content": STRING}),
    }  # fmt: skip

    def row(number: int, complete: list[bool], right: list[bool], judged: list[bool] | None = None) -> Row:
        product = 6 * number
        texts = [
            f"<think>\nWay {way}: six times {number}.\n</think>\n\n{product if ok else product + 1}"
            for way, ok in enumerate(right)
        ]
        return {
            "problem": f"What is 6 x {number}?", "solution": f"It is {product}.", "answer": str(product),
            "problem_type": "Algebra", "question_type": "math-word-problem", "source": "drawn", "uuid": f"u{number}",
            "is_reasoning_complete": complete, "generations": texts, "correctness_math_verify": right,
            "correctness_llama": judged, "finish_reasons": None, "correctness_count": sum(right),
            "messages": [{"role": "user", "content": f"What is 6 x {number}?"}],
        }  # fmt: skip

    rows = [
        row(7, [True, True], [False, True]),
        row(8, [False, True], [True, True]),
        row(9, [True], [False], [True]),
        row(10, [False, True], [True, False]),
        row(11, [True], [True, True]),
    ]
    write_parquet(world.root / f"openr1_math/data/{_PART}", rows, features)
    write_parquet(world.root / f"openr1_math/extended/{_PART}", rows[:1], features)


def write_thoughts(world: World) -> None:
    """`s1k/`, `s1k_1.1/`, `open_thoughts/`, `open_thoughts_metadata/`, `stratos/`, `infinity_instruct/`."""
    asked = {"question": "What is 6 x 7?", "solution": "42", "cot_type": "math", "source_type": "drawn"}
    first = {**asked, "metadata": "{}", "cot": None, "thinking_trajectories": [_THOUGHT], "attempt": "It is 42."}
    columns = dict.fromkeys(("solution", "question", "cot_type", "source_type", "metadata", "cot", "attempt"), STRING)
    write_parquet(
        world.root / f"s1k/data/{_PART}", [first], {**columns, "thinking_trajectories": list_of(STRING)}
    )  # fmt: skip
    second = {
        **asked, "metadata": "{}", "cot": None, "deepseek_thinking_trajectory": _THOUGHT,
        "deepseek_attempt": "It is 42.", "deepseek_grade": "Yes",
    }  # fmt: skip
    write_parquet(world.root / f"s1k_1.1/data/{_PART}", [second], dict.fromkeys(second, STRING))
    third = {
        "problem": "Print 42.", "deepseek_reasoning": _THOUGHT, "deepseek_solution": "print(42)",
        "ground_truth_solution": "print(42)", "domain": "code", "source": "drawn", "test_cases": "[]",
        "starter_code": "",
    }  # fmt: skip
    write_parquet(world.root / f"open_thoughts_metadata/metadata/{_PART}", [third], dict.fromkeys(third, STRING))
    marked = (
        "<|begin_of_thought|>\n\nSix sevens.\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n\n42\n\n<|end_of_solution|>"
    )
    turns = pair("What is 6 x 7?", marked, ("user", "assistant"))
    cut = pair("What is 6 x 8?", marked[:40], ("user", "assistant"))
    marked_turns = {"system": STRING, "conversations": list_of(_TURN)}
    table = [{"system": "Think.", "conversations": turns}, {"system": "Think.", "conversations": cut}]
    write_parquet(world.root / f"stratos/data/{_PART}", table, marked_turns)
    write_parquet(world.root / f"open_thoughts/data/{_PART}", table, marked_turns)
    label = {"ability_en": list_of(STRING), "cate_ability_en": list_of(STRING)}
    rows = [
        {"id": n, "conversations": pair(*texts), "label": {"ability_en": ["drawing"], "cate_ability_en": ["art"]},
         "langdetect": lang, "source": "drawn"}
        for n, (lang, texts) in enumerate([("en", ("A colour?", "Grey.")), ("zh-cn", ("说出一种颜色。", "灰色。"))])
    ]  # fmt: skip
    write_parquet(
        world.root / f"infinity_instruct/0625/{_PART}", rows,
        {"id": INT32, "conversations": list_of(_TURN), "label": label, "langdetect": STRING, "source": STRING},
    )  # fmt: skip


def write_exams(world: World) -> None:
    """Every text set that is not among the demo's sources."""
    for write in (
        write_medical_r1, write_m23k, write_mmlu, write_head_qa, write_medreason, write_reasonmed, write_alphamed,
        write_medbullets, write_openr1_math, write_thoughts,
    ):  # fmt: skip
        write(world)
