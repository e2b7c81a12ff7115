"""Medical text."""

from __future__ import annotations

from infimed_data.adapters.catalogue.contract import DataSet

__all__ = ["SETS"]

SETS: dict[str, DataSet] = {
    "medical_o1": DataSet(
        title="medical-o1 reasoning",
        adapter="medical_o1",
        category="medical_text",
        source="FreedomIntelligence/medical-o1-reasoning-SFT",
        license="Apache-2.0",
        citation="Chen et al., HuatuoGPT-o1, Towards Medical Complex Reasoning with LLMs, arXiv:2412.18925 (2024)",
        rows={"train": 19704},
        note="English; Chinese 20,171",
        example=(
            '{"Question": "A 67-year-old man wakes with weakness of the right arm and trouble...", "Complex_CoT":'
            ' "Let me start with where the problem sits. Trouble finding words poi...", "Response": "The most '
            'likely blocked vessel is the left middle cerebral artery...."}'
        ),
    ),
    "medical_o1_verifiable": DataSet(
        title="medical-o1 verifiable problems",
        adapter="medical_o1",
        category="medical_text",
        options={"file": "verifiable"},
        source="FreedomIntelligence/medical-o1-verifiable-problem",
        license="Apache-2.0",
        citation="Chen et al., HuatuoGPT-o1, Towards Medical Complex Reasoning with LLMs, arXiv:2412.18925 (2024)",
        rows={"train": 40644},
        sample="medical_o1",
        example=(
            '{"Open-ended Verifiable Question": "A 67-year-old man wakes with weakness of the right arm and '
            'trouble...", "Ground-True Answer": "Left middle cerebral artery"}'
        ),
    ),
    "medical_r1": DataSet(
        title="Medical-R1 distilled",
        adapter="reasoning",
        category="medical_text",
        options={"layout": "medical_r1", "file": "medical_r1_distill_sft.json"},
        source="FreedomIntelligence/Medical-R1-Distill-Data",
        license="Apache-2.0",
        citation="Chen et al., HuatuoGPT-o1, Towards Medical Complex Reasoning with LLMs, arXiv:2412.18925 (2024)",
        rows={"train": 22000},
        note="English; Chinese 17,000",
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "reasoning (reasoning_content)": "I go '
            'through the options one by one. Only one of them fits.", "response (content)": "The liver makes '
            'bile."}'
        ),
    ),
    "m23k": DataSet(
        title="m23k",
        adapter="m23k",
        category="medical_text",
        source="UCSC-VLAA/m23k-tokenized",
        license="not stated",
        citation=(
            "Huang et al., m1: Unleash the Potential of Test-Time Scaling for Medical Reasoning with Large "
            "Language Models, arXiv:2504.00869 (2025)"
        ),
        redistribute=None,
        rows={"train": 23500},
        note="its PubMedQA rows can be official test rows",
        example=(
            '{"answer_idx": 0, "source": "qiaojin/PubMedQA", "metadata": "{\'pubid\': 99000001}", "prompt": "Which '
            r'organ of the drawn patient makes bile?\nA. Liver\nB. Spleen\nC....", "answer_letter": "A", '
            '"answer_string": "Liver", "reasoning": "I go through the options one by one. Only one of them '
            r'fits.", "distilled_answer_string": "The answer is A.", "text": "<|im_start|>user\nWhich organ of the'
            ' drawn patient makes bile?<|im_e..."}'
        ),
    ),
    "medqa": DataSet(
        title="MedQA (USMLE)",
        adapter="medqa",
        category="medical_text",
        source="GBaker/MedQA-USMLE-4-options",
        license="CC-BY-4.0",
        citation=(
            "Jin et al., What Disease does this Patient Have? A Large-scale Open Domain Question Answering "
            "Dataset from Medical Exams, arXiv:2009.13081 (2020)"
        ),
        rows={"train": 10178, "validation": 1272, "test": 1273},
        example=(
            '{"question": "A 67-year-old man wakes with weakness of the right arm and trouble...", "answer": '
            '"Left middle cerebral artery", "options": {"A": "Left middle cerebral artery", "B": "Basilar '
            'artery", "C": "Left anterior cerebral artery", "D": "Right posterior cerebral artery"}, "meta_info":'
            ' "step1", "answer_idx": "A", "metamap_phrases": ["-year-old", "wakes"]}'
        ),
    ),
    "medmcqa": DataSet(
        title="MedMCQA",
        adapter="medmcqa",
        category="medical_text",
        source="openlifescienceai/medmcqa",
        license="Apache-2.0",
        citation=(
            "Pal et al., MedMCQA: A Large-scale Multi-Subject Multi-Choice Dataset for Medical domain Question "
            "Answering, arXiv:2203.14371 (2022)"
        ),
        rows={"train": 182822, "validation": 4183, "test": 6150},
        note="test is unlabelled",
        example=(
            '{"question": "The right main bronchus, compared with the left, is:", "exp": "The right main bronchus'
            ' is wider, shorter and more vertical, so inh...", "cop": 2, "opa": "Longer and narrower", "opb": '
            '"Wider and more vertical", "opc": "Absent in most people", "opd": "Without cartilage", '
            '"subject_name": "Anatomy", "topic_name": "Thorax", "id": "ab751868-562d-594a-b390-926e26b399fb", '
            '"choice_type": "single"}'
        ),
    ),
    "pubmedqa": DataSet(
        title="PubMedQA",
        adapter="pubmedqa",
        category="medical_text",
        source="qiaojin/PubMedQA",
        license="MIT",
        citation="Jin et al., PubMedQA: A Dataset for Biomedical Research Question Answering, arXiv:1909.06146 (2019)",
        rows={"train": 500, "test": 500, "labeled": 1000, "artificial": 211269, "unlabeled": 61249},
        example=(
            '{"QUESTION": "Does walking after meals lower glucose in older adults?", "CONTEXTS": ["Glucose rises '
            'steeply after meals in many older adults. Whether a s...", "Forty adults aged 65 to 80 sat still '
            'after three meals on one day a..."], "LABELS": ["BACKGROUND", "METHODS"], "MESHES": ["Aged", "Blood '
            'Glucose"], "YEAR": "2016", "reasoning_required_pred": "yes", "reasoning_free_pred": "yes", '
            '"final_decision": "yes", "LONG_ANSWER": "A short walk after each meal lowered glucose in this group '
            'of older..."}'
        ),
    ),
    "head_qa": DataSet(
        title="HEAD-QA",
        adapter="head_qa",
        category="medical_text",
        source="dvilares/head_qa",
        license="MIT",
        citation=(
            "Vilares and Gómez-Rodríguez, HEAD-QA: A Healthcare Dataset for Complex Reasoning, arXiv:1906.04701 (2019)"
        ),
        rows={"train": 2657, "validation": 1366, "test": 2742},
        note="English and Spanish",
        example=(
            '{"name": "Drawn_2013_1_M", "year": "2013", "category": "medicine", "qid": 1, "qtext": "Which organ '
            'of the drawn patient makes bile?", "ra": 1, "answers": [{"aid": 1, "atext": "Liver"}, {"aid": 2, '
            '"atext": "Spleen"}], "image": ""}'
        ),
    ),
    "mmlu": DataSet(
        title="MMLU-medical",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "mmlu"},
        source="cais/mmlu",
        license="MIT",
        citation="Hendrycks et al., Measuring Massive Multitask Language Understanding, arXiv:2009.03300 (2020)",
        rows={"test": 1089, "validation": None, "dev": 30},
        note="six subjects",
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "subject": "anatomy", "choices": '
            '["Liver", "Spleen"], "answer": 0}'
        ),
    ),
    "mmlu_pro": DataSet(
        title="MMLU-Pro health",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "mmlu_pro"},
        source="TIGER-Lab/MMLU-Pro",
        license="MIT",
        citation=(
            "Wang et al., MMLU-Pro: A More Robust and Challenging Multi-Task Language Understanding Benchmark, "
            "arXiv:2406.01574 (2024)"
        ),
        rows={"test": None},
        note="rows of category health",
        example=(
            '{"question_id": 5000, "question": "Which organ of the drawn patient makes bile?", "options": '
            '["Liver", "Spleen"], "answer": "A", "answer_index": 0, "cot_content": "", "category": "health", '
            '"src": "drawn"}'
        ),
    ),
    "medreason": DataSet(
        title="MedReason",
        adapter="medreason",
        category="medical_text",
        source="UCSC-VLAA/MedReason",
        license="Apache-2.0",
        citation=(
            "Wu et al., MedReason: Eliciting Factual Medical Reasoning Steps in LLMs via Knowledge Graphs, "
            "arXiv:2504.00993 (2025)"
        ),
        rows={"train": 32682},
        note="rows made from MedXpertQA, HLE and MMLU are rejected",
        example=(
            '{"dataset_name": "medqa", "id_in_dataset": 0, "question": "Which organ of the drawn patient makes '
            r'bile?", "answer": "Liver", "reasoning": "Paths:\n1. I go through the options one by one. Only one of'
            r' them fits.", "options": "Answer Choices:\nA. Liver\nB. Spleen\nC. Heart\nD. Left lung"}'
        ),
    ),
    "reasonmed": DataSet(
        title="ReasonMed",
        adapter="reasoning",
        category="medical_text",
        options={"layout": "reasonmed"},
        source="lingshu-medical-mllm/ReasonMed",
        license="not stated",
        citation=(
            "Sun et al., ReasonMed: A 370K Multi-Agent Generated Dataset for Advancing Medical Reasoning, "
            "arXiv:2506.09513 (2025)"
        ),
        redistribute=None,
        rows={"train": 370000},
        note="as many rows in each of three files",
        example=(
            r'{"instruction": "Which organ of the drawn patient makes bile?\nA. Liver\nB. Spleen\nC....", "input":'
            r' "", "output": "I go through the options one by one. Only one of them fits.\n\nLiver"}'
        ),
    ),
    "alphamed": DataSet(
        title="AlphaMed19K",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "alphamed"},
        source="che111/AlphaMed19K",
        license="not stated",
        citation=(
            "Liu et al., Beyond Distillation: Pushing the Limits of Medical LLM Reasoning with Minimalist "
            "Rule-Based RL, arXiv:2505.17952 (2025)"
        ),
        redistribute=None,
        rows={"train": 19178},
        example=(
            r'{"question": "Which organ of the drawn patient makes bile?\nA. Liver\nB. Spleen\nC....", "answer": '
            '"A"}'
        ),
    ),
    "medbullets_op5": DataSet(
        title="Medbullets, 5 options",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "medbullets_op5"},
        source="LangAGI-Lab/medbullets_op5",
        license="not stated",
        citation=(
            "Chen et al., Benchmarking Large Language Models on Answering and Explaining Challenging Medical "
            "Questions, arXiv:2402.18060 (2024)"
        ),
        redistribute=None,
        rows={"test": 308},
        note="116 questions mention a figure that is not there",
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "opa": "Liver", "opb": "Spleen", "opc":'
            ' "Heart", "opd": "Left lung", "ope": "None", "answer": "Liver", "answer_idx": "A", "explanation": "I'
            ' go through the options one by one. Only one of them fits.", "link": ""}'
        ),
    ),
    "medbullets_op4": DataSet(
        title="Medbullets, 4 options",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "medbullets_op4"},
        source="tuenguyen/Medical-Eval-MedBullets_op4",
        license="not stated",
        citation=(
            "Chen et al., Benchmarking Large Language Models on Answering and Explaining Challenging Medical "
            "Questions, arXiv:2402.18060 (2024)"
        ),
        redistribute=None,
        rows={"test": 308},
        note="the same questions",
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "options": {"A": "Liver", "B": '
            '"Spleen", "C": "Heart", "D": "Left lung", "E": null}, "answer": "Liver", "answer_idx": "A"}'
        ),
    ),
    "medxpertqa_text": DataSet(
        title="MedXpertQA Text",
        adapter="medxpertqa",
        category="medical_text",
        options={"config": "Text"},
        source="TsinghuaC3I/MedXpertQA",
        license="MIT",
        citation=(
            "Zuo et al., MedXpertQA: Benchmarking Expert-Level Medical Reasoning and Understanding, "
            "arXiv:2501.18362 (2025)"
        ),
        rows={"dev": 5, "test": 2450},
        sample="medxpertqa",
        example=(
            r'{"id": "Text-0", "question": "Which organ of the drawn patient makes bile?\nAnswer Choices: (A) '
            'Li...", "options": {"A": "Liver", "B": "Spleen", "C": "Heart", "D": "Left lung", "E": "Nothing of '
            'kind 1", "F": "Nothing of kind 2", "G": "Nothing of kind 3", "H": "Nothing of kind 4", "I": "Nothing'
            ' of kind 5", "J": "Nothing of kind 6"}, "label": "A", "medical_task": "Diagnosis", "body_system": '
            '"Digestive", "question_type": "Understanding"}'
        ),
    ),
    "super_gpqa": DataSet(
        title="SuperGPQA medicine",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "super_gpqa"},
        source="m-a-p/SuperGPQA",
        license="not stated",
        citation="SuperGPQA: Scaling LLM Evaluation across 285 Graduate Disciplines, arXiv:2502.14739 (2025)",
        redistribute=None,
        rows={"test": None},
        note="rows of discipline Medicine",
        example=(
            '{"uuid": "000", "question": "Which organ of the drawn patient makes bile?", "options": ["Liver", '
            '"Spleen"], "answer": "Liver", "answer_letter": "A", "discipline": "Medicine", "field": "Drawn '
            'medicine", "subfield": "Drawn", "difficulty": "easy"}'
        ),
    ),
    "huatuo_eval": DataSet(
        title="HuatuoGPT-o1 evaluation file",
        adapter="multiple_choice",
        category="medical_text",
        options={"layout": "huatuo_eval"},
        source="https://github.com/FreedomIntelligence/HuatuoGPT-o1",
        license="Apache-2.0",
        citation="Chen et al., HuatuoGPT-o1, Towards Medical Complex Reasoning with LLMs, arXiv:2412.18925 (2024)",
        rows={"test": None},
        note="several benchmarks in one file",
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "options": {"A": "Liver", "B": '
            '"Spleen", "C": "Heart", "D": "Left lung"}, "answer": "Liver", "answer_idx": "A"}'
        ),
    ),
}
"""By name, which is also the folder of its invented rows in `sample_data/`."""
