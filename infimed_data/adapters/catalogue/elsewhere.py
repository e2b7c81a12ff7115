"""Data sets of the field that have no entry of their own, and why."""

from __future__ import annotations

__all__ = ["NOT_READ"]

_COPY = "a copy of {}; read that"

NOT_READ: dict[str, str] = {
    "mdwiratathya/SLAKE-vqa-english, khanhduong/SLAKE_en": _COPY.format("SLAKE's English rows"),
    "UCSD-AI4H/PathVQA, Pfei111/PathVQA": _COPY.format("PathVQA; the original files are read as they are"),
    "xmcmic/PMC-VQA, mdwiratathya/PMC-VQA_small": _COPY.format("PMC-VQA"),
    "dineshcr7/MED-VQA-2019": _COPY.format("VQA-Med 2019"),
    "faizan711/VinDR-CXR-VQA": _COPY.format("VinDr-CXR-VQA"),
    "eltorio/ROCO-radiology, mdwiratathya/ROCO-radiology, unsloth/Radiology_mini": "ROCO version 1, or a part of it",
    "med-vlrm/med-vlm-eval-v2": _COPY.format("MedVLThinker-Eval"),
    "AdaptLLM/biomed-VQA-benchmark": "test rows of PMC-VQA, PathVQA, SLAKE and VQA-RAD once more; read those",
    "FreedomIntelligence/Medical_Multimodal_Evaluation_Data": (
        "test rows of OmniMedVQA, PathVQA, PMC-VQA, SLAKE, VQA-RAD and MMMU once more; read those"
    ),
    "wisdomik/QuiltVQA_RED, wisdomik/Quilt-LLaVA-Pretrain": "gated, and their layouts are not published",
    "adishourya/MEDPIX-ClinQA": "cases of MedPix again, in a layout that is not published",
    "Henrychur/MMedBench, aisc-team-c2/MMedBench": "known at second hand only: no file was at hand to read it by",
    "openlifescienceai/headqa, EleutherAI/headqa, lighteval/headqa_harness": _COPY.format("HEAD-QA"),
    "openlifescienceai/pubmedqa, bigbio/pubmed_qa": _COPY.format("PubMedQA"),
    "lighteval/med_mcqa": _COPY.format("MedMCQA, which counts `cop` from 1"),
    "YuSun-AI/ReasonMed": "the old name of ReasonMed",
    "myuniverse/GMAI-MMBench": "the old name of GMAI-MMBench",
    "lmms-lab/ScienceQA, lmms-lab-encoder/ai2d": _COPY.format("ScienceQA, AI2D"),
    "lmms-lab/ChartQA": "read with `vqa` `{layout: chartqa_lmms}`",
    "Yang130/geometry3k_4choices_mixed": "read with `problems` `{layout: geometry3k}`",
    "FanqingM/MMK12": "a part of MM-Eureka in another layout",
    "leonardPKU/clevr_cogen_a_train": "read with `problems` `{layout: r1v}`",
    "pengshuai-rin/multimath-300k": "only pictures that MMathCoT's rows name",
    "Osilly/Vision-R1-cold": "rows of LLaVA-CoT and Mulberry with other reasoning, in a layout that is not published",
    "omlab/VLM-R1": "boxes to be drawn, no questions to be answered",
}
"""Repositories on the Hub: why they are not read, or how they are."""
