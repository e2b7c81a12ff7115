"""Questions about medical images that are only there to test on."""

from __future__ import annotations

from infimed_data.adapters.catalogue.contract import DataSet

__all__ = ["SETS"]

SETS: dict[str, DataSet] = {
    "omnimedvqa": DataSet(
        title="OmniMedVQA",
        adapter="omnimedvqa",
        category="medical_vqa",
        source="foreverbeliever/OmniMedVQA",
        license="CC-BY-NC",
        citation=(
            "Hu et al., OmniMedVQA: A New Large-Scale Comprehensive Evaluation Benchmark for Medical LVLM, "
            "arXiv:2402.09181 (2024)"
        ),
        rows={"test": 88996},
        note="no official split; group by image",
        example=(
            '{"dataset": "Chest CT Scan", "question_id": "Chest CT Scan_0000", "question_type": "Anatomy '
            'Identification", "question": "Which organ of the drawn patient makes bile?", "gt_answer": "Liver", '
            '"image_path": "Images/Chest CT Scan/a b (1).png", "option_A": "Liver", "option_B": "Spleen", '
            '"option_C": "Heart", "option_D": null, "modality": "CT(Computed Tomography)"}'
        ),
    ),
    "medxpertqa": DataSet(
        title="MedXpertQA MM",
        adapter="medxpertqa",
        category="medical_vqa",
        source="TsinghuaC3I/MedXpertQA",
        license="MIT",
        citation=(
            "Zuo et al., MedXpertQA: Benchmarking Expert-Level Medical Reasoning and Understanding, "
            "arXiv:2501.18362 (2025)"
        ),
        rows={"dev": 5, "test": 2000},
        example=(
            r'{"id": "MM-0", "question": "Which organ of the drawn patient makes bile?\nAnswer Choices: (A) '
            'Li...", "options": {"A": "Liver", "B": "Spleen", "C": "Heart", "D": "Left lung", "E": "Nothing of '
            'kind 1"}, "label": "A", "medical_task": "Diagnosis", "body_system": "Digestive", "question_type": '
            '"Understanding", "images": ["MM-0-a.jpeg", "MM-0-b.png"]}'
        ),
    ),
    "mmmu": DataSet(
        title="MMMU Health & Medicine",
        adapter="mmmu",
        category="medical_vqa",
        source="MMMU/MMMU",
        license="Apache-2.0",
        citation=(
            "Yue et al., MMMU: A Massive Multi-discipline Multimodal Understanding and Reasoning Benchmark for "
            "Expert AGI, arXiv:2311.16502 (2023)"
        ),
        rows={"dev": 25, "validation": 150, "test": 1752},
        note="test answers are hidden on the Hub",
        example=(
            '{"id": "validation_Basic_Medical_Science_1", "question": "What joins a muscle to a bone? <image 1>",'
            ' "options": "[\'A nerve\', \'A vein\', \'A tendon\', \'A gland\']", "explanation": "", "img_type": '
            '"[\'Medical Images\']", "answer": "C", "topic_difficulty": "Easy", "question_type": "multiple-choice",'
            ' "subfield": "Drawn anatomy", "image_1": {}, "image_2": null, "image_3": null, "image_4": null, '
            '"image_5": null, "image_6": null, "image_7": null}'
        ),
    ),
    "gmai_mmbench": DataSet(
        title="GMAI-MMBench",
        adapter="multiple_choice",
        category="medical_vqa",
        options={"layout": "gmai_mmbench"},
        source="OpenGVLab/GMAI-MMBench",
        license="Apache-2.0",
        citation=(
            "Chen et al., GMAI-MMBench: A Comprehensive Multimodal Evaluation Benchmark Towards General Medical "
            "AI, arXiv:2408.03361 (2024)"
        ),
        rows={"test": 4550, "hidden": None},
        gated=True,
        note="`test` is VAL, `hidden` the TEST files without answers",
        example=(
            '{"index": "0", "image": "iVBORw0KGgoAAAANSUhEUgAAACgAAAAoCAAAAACpleexAAAEZklEQVR4nAXBSY4l1RU...", '
            '"question": "Which organ of the drawn patient makes bile?", "A": "Liver", "B": "Spleen", "C": '
            '"Heart", "D": "Left lung", "E": "", "answer": "A", "category": "AR", "clinical VQA task": "Attribute'
            ' Recognition", "department": "Drawing", "modality": "X-ray", "perceptual granularity": "image '
            'level"}'
        ),
    ),
    "quilt_vqa": DataSet(
        title="Quilt-VQA",
        adapter="vqa",
        category="medical_vqa",
        options={"layout": "quilt_vqa"},
        source="wisdomik/Quilt_VQA",
        license="CC-BY-NC-ND-3.0",
        citation=(
            "Seyfioglu et al., Quilt-LLaVA: Visual Instruction Tuning by Extracting Localized Narratives from "
            "Open-Source Histopathology Videos, arXiv:2312.04746 (2023)"
        ),
        rows={"test": 1283},
        gated=True,
        redistribute=False,
        note="called `train` by its files",
        example=(
            '{"question": "Is there a bright disc in the drawing?", "answer": "yes", "answer_type": "CLOSED", '
            '"context": "A drawing.", "image": {}}'
        ),
    ),
    "probmed": DataSet(
        title="ProbMed",
        adapter="probmed",
        category="medical_vqa",
        source="rippleripple/ProbMed",
        license="MIT",
        citation=(
            "Yan et al., Worse than Random? An Embarrassingly Simple Probing Evaluation of Large Multimodal "
            "Models in Medical VQA, arXiv:2405.20421 (2024)"
        ),
        rows={"test": 57132},
        gated=True,
        example=(
            '{"id": 1, "i": 0, "image": "test/x-ray_chest/1.jpg", "image_type": "x-ray_chest", "qa_type": '
            '"modality_gt", "question": "Is there mark 0 in the drawing?", "answer": "yes", "src_dataset": '
            '"drawn"}'
        ),
    ),
    "medvlthinker_eval": DataSet(
        title="MedVLThinker-Eval",
        adapter="multiple_choice",
        category="medical_vqa",
        options={"layout": "medvlthinker"},
        source="UCSC-VLAA/MedVLThinker-Eval",
        license="not stated",
        citation="MedVLThinker: Simple Baselines for Multimodal Medical Reasoning, arXiv:2508.02669 (2025)",
        redistribute=None,
        rows={"test": 10220},
        note="six benchmarks in one table",
        example=(
            r'{"question": "Which organ of the drawn patient makes bile?", "options": "{\"A\": \"Liver\", \"B\": '
            r'\"Spleen\", \"C\": \"Heart\", \"D\": \"Left lung\"}", "answer_label": "A", "answer": "Liver", '
            '"reasoning": null, "dataset_name": "pmc_vqa", "hash": "0", "misc": "{}", "dataset_index": 0, '
            '"images": [{}]}'
        ),
    ),
}
"""By name, which is also the folder of its invented rows in `sample_data/`."""
