"""Adapters: one file a layout. To add one, write the file and add its line to `ADAPTERS`."""

from __future__ import annotations

from importlib import import_module

from infimed_data.adapters.contract import Adapter
from infimed_data.errors import ManifestError, did_you_mean

__all__ = ["ADAPTERS", "load_adapter"]

ADAPTERS: dict[str, str] = {
    "captions": "ROCOv2, MedTrinity-25M, MedPix 2.0: images with captions, asked about with an instruction",
    "cauldron": "The Cauldron: lists of embedded images with several questions each",
    "chat": "Conversations as `messages` or ShareGPT, with or without begin/end-of-thought marks",
    "head_qa": "HEAD-QA: `ra` counted from 1, or `openlifescienceai/headqa`; English and Spanish",
    "iu_xray": "IU X-Ray: R2Gen's annotation.json, Kaggle's CSV files, MedEvalKit's test.json",
    "llava": "Conversations about images: JSON with names, Parquet with embedded or base64 images",
    "m23k": "m23k: options inside the prompt; letter, index and text must agree",
    "medical_o1": "HuatuoGPT-o1's reasoning (SFT) and verifiable-problem files",
    "medmcqa": "MedMCQA: original JSON lines or the Hub's Parquet files",
    "medqa": "MedQA (USMLE): official JSON lines with 4 or 5 options, or the Hub's copy",
    "medreason": "MedReason: rows made from evaluation sets are rejected",
    "medxpertqa": "MedXpertQA MM and Text: the options that the question repeats are taken off",
    "mimic_cxr_vqa": "MIMIC-CXR-VQA: answers are lists; credentialed, local files only",
    "mmmu": "MMMU Health & Medicine: options as text, up to seven placed images, hidden test answers",
    "multiple_choice": "MMLU, MMLU-Pro, Medbullets, SuperGPQA, ScienceQA, AI2D, GMAI-MMBench, AlphaMed and others",
    "omnimedvqa": "OmniMedVQA: a JSON file a data set, 2 to 4 options",
    "openr1_math": "OpenR1-Math: the first generation that is complete and correct",
    "path_vqa": "PathVQA: the Hub's Parquet, the authors' JSON, a textbook's pairs",
    "pmc_vqa": "PMC-VQA versions 1 and 2: `Answer` as text or as letter, told by the columns",
    "probmed": "ProbMed: paired yes/no questions",
    "problems": "Geometry3K, ViRL39K, MM-Eureka: problems with a checkable answer",
    "pubmedqa": "PubMedQA: official JSON with the official test ids, or the Hub's Parquet files",
    "reasoning": "Medical-R1, ReasonMed, s1K, OpenThoughts metadata, MMathCoT: reasoning in a column of its own",
    "slake": "SLAKE: JSON with a folder or zip of images, English and Chinese",
    "vindr_cxr_vqa": "VinDr-CXR-VQA: questions of each study, box tags taken out of the text",
    "vqa": "Kvasir-VQA, ChartQA, Quilt-VQA, MedPix ShortQA: an image, a question, a free answer",
    "vqa_med_2019": "VQA-Med 2019: text split at `|`, alternative answers",
    "vqa_rad": "VQA-RAD: split JSONs, the OSF JSON, or the Hub's Parquet files",
}
"""Name of each adapter's module, and what it reads."""


def load_adapter(name: str) -> Adapter:
    """The adapter called `name`; raises `ManifestError` with the allowed names."""
    if name not in ADAPTERS:
        raise ManifestError(
            [f"adapter {name!r}: unknown; allowed: {', '.join(ADAPTERS)}{did_you_mean(name, ADAPTERS)}"]
        )
    adapter: Adapter = import_module(f"infimed_data.adapters.{name}").ADAPTER
    return adapter
