"""Questions about medical images, with splits to train on."""

from __future__ import annotations

from infimed_data.adapters.catalogue.contract import DataSet

__all__ = ["SETS"]

SETS: dict[str, DataSet] = {
    "vqa_rad": DataSet(
        title="VQA-RAD",
        adapter="vqa_rad",
        category="medical_vqa",
        source="https://osf.io/89kps, flaviagiammarino/vqa-rad",
        license="CC0-1.0",
        citation=(
            "Lau et al., A dataset of clinically generated visual questions and answers about radiology images, "
            "Scientific Data 5:180251 (2018)"
        ),
        rows={"train": 1793, "test": 451},
        note="train and test share images by design; the passed-round train file has 3,064 rows",
        example=(
            '{"qid": 1, "image_name": "synpic20011.jpg", "image_organ": "CHEST", "answer": 3, "answer_type": '
            '"OPEN", "question_type": "COUNT", "question": "How many opacities are there?", "phrase_type": '
            '"freeform"}'
        ),
    ),
    "slake": DataSet(
        title="SLAKE",
        adapter="slake",
        category="medical_vqa",
        source="BoKelvin/SLAKE",
        license="CC-BY-4.0",
        citation=(
            "Liu et al., SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical Visual Question "
            "Answering, arXiv:2102.09542 (2021)"
        ),
        rows={"train": 9835, "validation": 2099, "test": 2094},
        note="English and Chinese rows split the images differently",
        example=(
            '{"img_id": 1, "img_name": "xmlab1/source.jpg", "question": "Is each opacity in the right lung '
            'round?", "answer": "Yes", "q_lang": "en", "location": "Lung", "modality": "X-Ray", "answer_type": '
            '"CLOSED", "base_type": "vqa", "content_type": "Shape", "triple": ["vhead", "_"], "qid": 0}'
        ),
    ),
    "path_vqa": DataSet(
        title="PathVQA",
        adapter="path_vqa",
        category="medical_vqa",
        source="flaviagiammarino/path-vqa",
        license="MIT",
        citation="He et al., PathVQA: 30000+ Questions for Medical Visual Question Answering, arXiv:2003.10286 (2020)",
        rows={"train": 19654, "validation": 6259, "test": 6719},
        example=('{"question": "is there a bright disc in the drawing?", "answer": "yes", "image": {}}'),
    ),
    "pmc_vqa": DataSet(
        title="PMC-VQA",
        adapter="pmc_vqa",
        category="medical_vqa",
        source="RadGenome/PMC-VQA",
        license="CC-BY-SA",
        citation=(
            "Zhang et al., PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering, "
            "arXiv:2305.10415 (2023)"
        ),
        rows={"train": 176946, "test": 50000, "test_clean": 2000, "train_2": 152603, "test_2": 33430},
        note="`_2`: version 2, whose `Answer` is a letter",
        example=(
            '{"Figure_path": "PMC9100000_F0.jpg", "Question": " Which organ of the drawn patient makes bile? ", '
            '"Answer": "Liver", "Choice A": " A:Liver ", "Choice B": " B:Spleen ", "Choice C": " C:Heart ", '
            '"Choice D": " D:Left lung ", "Answer_label": "A"}'
        ),
    ),
    "pubmedvision": DataSet(
        title="PubMedVision",
        adapter="llava",
        category="medical_vqa",
        options={"file": "PubMedVision_InstructionTuning_VQA.json", "medical": "keep"},
        source="FreedomIntelligence/PubMedVision",
        license="Apache-2.0",
        citation=(
            "Chen et al., HuatuoGPT-Vision, Towards Injecting Medical Visual Knowledge into Multimodal LLMs at "
            "Scale, arXiv:2406.19280 (2024)"
        ),
        rows={"train": 647031},
        note="as many rows in each of two configurations",
        example=(
            '{"image": ["images/pmc_910000_0.jpg"], "conversations": [{"from": "human", "value": "Is there a '
            'bright disc in the drawing?"}, {"from": "gpt", "value": "yes"}], "id": "it_0", "modality": "Digital '
            'Photography", "body_part": "Skin"}'
        ),
    ),
    "llava": DataSet(
        title="LLaVA-Med instruct",
        adapter="llava",
        category="medical_vqa",
        options={"medical": "keep"},
        source="https://github.com/microsoft/LLaVA-Med",
        license="CC-BY-NC-4.0",
        citation=(
            "Li et al., LLaVA-Med: Training a Large Language-and-Vision Assistant for Biomedicine in One Day, "
            "arXiv:2306.00890 (2023)"
        ),
        rows={"train": 60000},
        note="rows without images are normal",
        example=(
            '{"id": "99100031_F1", "image": "99100031_F1.jpg", "domain": {"chest_xray": true, "mri": false, '
            '"histology": false, "gross": false, "ct_scan": false}, "conversations": [{"from": "human", "value": '
            r'"<image>\nDescribe this picture."}, {"from": "gpt", "value": "This is a chest X-ray. No opacity is '
            'seen on either side. The heart..."}]}'
        ),
    ),
    "roco_v2": DataSet(
        title="ROCOv2",
        adapter="captions",
        category="medical_vqa",
        options={"layout": "roco_v2"},
        source="https://zenodo.org/records/8333645, eltorio/ROCOv2-radiology",
        license="CC-BY-NC-SA-4.0",
        citation=(
            "Rueckert et al., ROCOv2: Radiology Objects in COntext Version 2, an Updated Multimodal Image "
            "Dataset, arXiv:2405.10004 (2024)"
        ),
        rows={"train": 59958, "validation": 9904, "test": 9927},
        note="captions",
        example=('{"ID": "ROCOv2_2023_train_000001", "Caption": "A drawn film, train number 0."}'),
    ),
    "mimic_cxr_vqa": DataSet(
        title="MIMIC-CXR-VQA",
        adapter="mimic_cxr_vqa",
        category="medical_vqa",
        source="https://physionet.org/content/mimic-ext-mimic-cxr-vqa",
        license="PhysioNet Credentialed 1.5.0",
        citation=(
            "Bae et al., EHRXQA: A Multi-Modal Question Answering Dataset for Electronic Health Records with "
            "Chest X-ray Images, arXiv:2310.18652 (2023)"
        ),
        rows={"train": 290031, "validation": 73567, "test": 13793},
        gated=True,
        credentialed=True,
        redistribute=False,
        example=(
            '{"split": "train", "idx": 0, "subject_id": 99000000, "study_id": 59000000, "image_id": "drawn-0", '
            '"image_path": "p99/p99000000/s59000000/drawn-0.jpg", "question": "Is there a bright disc in the '
            'drawing?", "semantic_type": "verify", "content_type": "presence", "template": "Is there ${x}?", '
            '"template_program": "program_1", "template_arguments": {"object": {}, "attribute": {}}, "answer": '
            '["yes"]}'
        ),
    ),
    "medtrinity": DataSet(
        title="MedTrinity-25M",
        adapter="captions",
        category="medical_vqa",
        options={"layout": "medtrinity", "config": "25M_demo"},
        source="UCSC-VLAA/MedTrinity-25M",
        license="gated terms",
        citation=(
            "Xie et al., MedTrinity-25M: A Large-scale Multimodal Dataset with Multigranular Annotations for "
            "Medicine, arXiv:2408.02900 (2024)"
        ),
        redistribute=None,
        rows={"train": None},
        gated=True,
        note="machine-written captions; images of VQA-RAD, SLAKE and PathVQA inside",
        example=('{"id": "d0", "caption": "Drawn disc 0.", "image": {}}'),
    ),
    "quilt_llava": DataSet(
        title="Quilt-LLaVA instruct",
        adapter="llava",
        category="medical_vqa",
        options={"file": "quilt_instruct_107k.json", "medical": "keep"},
        source="wisdomik/QUILT-LLaVA-Instruct-107K",
        license="CC-BY-NC-ND-3.0",
        citation=(
            "Seyfioglu et al., Quilt-LLaVA: Visual Instruction Tuning by Extracting Localized Narratives from "
            "Open-Source Histopathology Videos, arXiv:2312.04746 (2023)"
        ),
        rows={"train": 107000},
        gated=True,
        redistribute=False,
        note="data use agreement",
        example=(
            r'{"id": "a1", "image": "drawn_1.jpg", "conversations": [{"from": "human", "value": "<image>\nIs there'
            ' a bright disc in the drawing?"}, {"from": "gpt", "value": "Yes, it is."}]}'
        ),
    ),
    "medpix": DataSet(
        title="MedPix 2.0",
        adapter="captions",
        category="medical_vqa",
        options={"layout": "medpix"},
        source="https://github.com/CHILab1/MedPix-2.0",
        license="not stated",
        citation=(
            "Siragusa et al., MedPix 2.0: A Comprehensive Multimodal Biomedical Dataset for Advanced AI "
            "Applications, arXiv:2407.02994 (2024)"
        ),
        redistribute=None,
        rows={"train": 1653, "validation": None, "test": None, "all": 2050},
        note="captions; shares `synpic` numbers with VQA-RAD",
        example=(
            '{"Type": "CT", "U_id": "MPX9001", "image": "MPX9001_synpic80001", "Description": {"ACR Codes": '
            '"1.1", "Age": "40", "Caption": "A drawn slice, number 80001.", "Figure Part": "1", "Modality": "CT -'
            ' drawn", "Plane": "Axial", "Sex": "N/A"}, "Location": "Abdomen", "Location Category": "Abdomen"}'
        ),
    ),
    "medpix_shortqa": DataSet(
        title="MedPix ShortQA",
        adapter="vqa",
        category="medical_vqa",
        options={"layout": "medpix_shortqa"},
        source="adishourya/MEDPIX-ShortQA",
        license="Apache-2.0",
        rows={"train": 10362, "validation": 1303, "test": 1560},
        example=(
            '{"image_id": "MPX9001_synpic80001", "case_id": "MPX9001", "question": "Which side is the disc on?", '
            '"answer": "left", "mode": "CT", "split": "Train", "ans_len": 1}'
        ),
    ),
    "iu_xray": DataSet(
        title="IU X-Ray",
        adapter="iu_xray",
        category="medical_vqa",
        source="https://openi.nlm.nih.gov",
        license="Open-i terms",
        citation=(
            "Demner-Fushman et al., Preparing a collection of radiology examinations for distribution and "
            "retrieval, JAMIA 23(2):304-310 (2016)"
        ),
        redistribute=None,
        rows={"train": 2069, "validation": 296, "test": 590, "all": 3955, "medevalkit": 296},
        note="reports",
        example=(
            '{"id": "CXR9000_IM-00", "report": "The drawn lungs are clear. The frame is whole.", "split": '
            '"train", "image_path": ["CXR9000_IM-00/0.png", "CXR9000_IM-00/1.png"]}'
        ),
    ),
    "vqa_med_2019": DataSet(
        title="VQA-Med 2019",
        adapter="vqa_med_2019",
        category="medical_vqa",
        source="https://zenodo.org/records/10499039",
        license="CC-BY-4.0",
        citation=(
            "Ben Abacha et al., VQA-Med: Overview of the Medical Visual Question Answering Task at ImageCLEF "
            "2019, CLEF (2019)"
        ),
        rows={"train": 12792, "validation": 2000, "test": 500},
        example=('{"1": "synpic90001", "2": "is there a disc?", "3": "yes"}'),
    ),
    "vindr_cxr_vqa": DataSet(
        title="VinDr-CXR-VQA",
        adapter="vindr_cxr_vqa",
        category="medical_vqa",
        source="Dangindev/VinDR-CXR-VQA",
        license="CC-BY-4.0 (text); films PhysioNet Credentialed",
        citation=(
            "Nguyen et al., VinDr-CXR-VQA: A Visual Question Answering Dataset for Explainable Chest X-Ray "
            "Analysis with Multi-Task Learning, arXiv:2511.00504 (2025)"
        ),
        rows={"train": 17597},
        gated=True,
        credentialed=True,
        redistribute=False,
        example=(
            '{"image_id": "d1", "question": "Is there a bright disc in the drawing?", "answer": "Yes", "type": '
            '"Is_there", "difficulty": "Easy", "gt_finding": "disc", "gt_location": "<loc_10_10_20_20>", '
            '"reason": "The disc is bright <loc_10_10_20_20>."}'
        ),
    ),
    "kvasir_vqa": DataSet(
        title="Kvasir-VQA",
        adapter="vqa",
        category="medical_vqa",
        options={"layout": "kvasir_vqa"},
        source="SimulaMet-HOST/Kvasir-VQA",
        license="CC-BY-NC-4.0",
        citation="Gautam et al., Kvasir-VQA: A Text-Image Pair GI Tract Dataset, arXiv:2409.01437 (2024)",
        rows={"train": 58849},
        note="called `raw` by its files; split by `img_id`",
        example=(
            '{"source": "Drawn-Kvasir", "question": "Is there a bright disc in the drawing?", "answer": "yes", '
            '"img_id": "k0", "image": {}}'
        ),
    ),
    "kvasir_vqa_x1": DataSet(
        title="Kvasir-VQA-x1",
        adapter="vqa",
        category="medical_vqa",
        options={"layout": "kvasir_vqa_x1"},
        source="SimulaMet/Kvasir-VQA-x1",
        license="not stated",
        citation=(
            "Gautam et al., Kvasir-VQA-x1: A Multimodal Dataset for Medical Reasoning and Robust MedVQA in "
            "Gastrointestinal Endoscopy, arXiv:2506.09958 (2025)"
        ),
        redistribute=None,
        rows={"train": None, "test": 15955},
        note="images come from Kvasir-VQA",
        example=(
            '{"img_id": "k0", "question": "Is there a bright disc in the drawing?", "answer": "yes", "original": '
            r'"[{\"q\": \"Is there a bright disc in the drawing?\", \"a\": \"yes\"}]", "question_class": '
            '"presence", "complexity": 1}'
        ),
    ),
    "medix_rl": DataSet(
        title="MediX-R1",
        adapter="problems",
        category="medical_vqa",
        options={"layout": "r1v", "medical": "keep"},
        source="MBZUAI/medix-rl-data",
        license="not stated",
        citation="Mullappilly et al., MediX-R1: Open Ended Medical Reinforcement Learning, arXiv:2602.23363 (2026)",
        redistribute=None,
        rows={"train": 51335, "test": 2451},
        note="of other medical sets",
        example=(
            '{"id": "train_0", "source": "medical_text", "problem": "Is there a bright disc in the drawing?", '
            '"solution": "yes", "image": []}'
        ),
    ),
}
"""By name, which is also the folder of its invented rows in `sample_data/`."""
