"""General questions about images, and general text."""

from __future__ import annotations

from infimed_data.adapters.catalogue.contract import DataSet

__all__ = ["SETS"]

SETS: dict[str, DataSet] = {
    "llava_cot": DataSet(
        title="LLaVA-CoT-100k",
        adapter="llava",
        category="general_multimodal",
        source="Xkev/LLaVA-CoT-100k",
        license="Apache-2.0",
        citation="Xu et al., LLaVA-CoT: Let Vision Language Models Reason Step-by-Step, arXiv:2411.10440 (2024)",
        rows={"train": 98600},
        note="join `image.zip.part-*` first",
        example=(
            '{"id": "phantom_00000", "image": "phantom/xray/00000.jpg", "conversations": [{"from": "human", '
            '"value": "How many opacities are there?"}, {"from": "gpt", "value": "<SUMMARY> I will describe the '
            'picture, look at the part that the qu..."}]}'
        ),
    ),
    "mulberry": DataSet(
        title="Mulberry-260k",
        adapter="llava",
        category="general_multimodal",
        options={"id_field": None},
        source="HuanjinYao/Mulberry-SFT",
        license="Apache-2.0",
        citation=(
            "Yao et al., Mulberry: Empowering MLLM with o1-like Reasoning and Reflection via Collective Monte "
            "Carlo Tree Search, arXiv:2412.18319 (2024)"
        ),
        rows={"train": 272775},
        note="medical images inside",
        example=(
            '{"messages": [{"role": "user", "content": "<image>How many discs are drawn?"}, {"role": "assistant",'
            r' "content": "### Image Description:\nA grey field with a disc.\n\n### Rationales:\nT..."}], '
            '"images": "cauldron/clevr/images/clevr_00000001.png"}'
        ),
    ),
    "r1_onevision": DataSet(
        title="R1-Onevision",
        adapter="llava",
        category="general_multimodal",
        options={"every_folder": True},
        source="Fancy-MLLM/R1-Onevision",
        license="Apache-2.0",
        citation=(
            "Yang et al., R1-Onevision: Advancing Generalized Multimodal Reasoning through Cross-Modal "
            "Formalization, arXiv:2503.10615 (2025)"
        ),
        rows={"train": 155000},
        note="images as base64 text",
        example=(
            '{"id": "g_0", "conversations": [{"from": "human", "value": "Which side is the disc on?"}, {"from": '
            r'"gpt", "value": "<think>\nI look at the disc.\n</think>\n\nleft"}], "image": '
            '"iVBORw0KGgoAAAANSUhEUgAAACgAAAAoCAAAAACpleexAAAETElEQVR4nAXBW47kthU...", "images": {}}'
        ),
    ),
    "mmathcot": DataSet(
        title="MMathCoT-1M",
        adapter="reasoning",
        category="general_multimodal",
        options={"layout": "mmathcot"},
        source="URSA-MATH/MMathCoT-1M",
        license="GPL-3.0",
        citation=(
            "Luo et al., URSA: Understanding and Verifying Chain-of-thought Reasoning in Multimodal Mathematics, "
            "arXiv:2501.04686 (2025)"
        ),
        rows={"train": 1019059},
        note="unpack its `.7z` files; images of other collections too",
        example=(
            '{"image_url": "DataEngine_Geometry/1.png", "instruction": "What is x?", "output": "Step 1: The sides'
            r' are equal.\nStep 2: So x = 4.\n†Answer: 4"}'
        ),
    ),
    "geometry3k": DataSet(
        title="Geometry3K",
        adapter="problems",
        category="general_multimodal",
        options={"layout": "geometry3k"},
        source="hiyouga/geometry3k",
        license="MIT",
        citation=(
            "Lu et al., Inter-GPS: Interpretable Geometry Problem Solving with Formal Language and Symbolic "
            "Reasoning, arXiv:2105.04165 (2021)"
        ),
        rows={"train": 2101, "validation": 300, "test": 601},
        example=('{"problem": "<image>Find x. Case 0.", "answer": "4", "images": [{}]}'),
    ),
    "mathv360k": DataSet(
        title="MathV360K",
        adapter="llava",
        category="general_multimodal",
        options={"file": "train_samples_all_tuning.json", "id_field": None},
        source="Zhiqiang007/MathV360K",
        license="Apache-2.0",
        citation=(
            "Shi et al., Math-LLaVA: Bootstrapping Mathematical Reasoning for Multimodal Large Language Models, "
            "arXiv:2406.17294 (2024)"
        ),
        rows={"train": 339000},
        note="PMC-VQA and VQA-RAD inside",
        example=(
            '{"id": "identity_0", "image": "TabMWP/images/1.png", "conversations": [{"from": "human", "value": '
            r'"<image>\nHint: Look at the drawing, then write the answer last.\nQues..."}, {"from": "gpt", '
            '"value": "The answer is yes"}]}'
        ),
    ),
    "llava_onevision": DataSet(
        title="LLaVA-OneVision",
        adapter="llava",
        category="general_multimodal",
        options={"every_folder": True},
        source="lmms-lab/LLaVA-OneVision-Data",
        license="of each part",
        citation="Li et al., LLaVA-OneVision: Easy Visual Task Transfer, arXiv:2408.03326 (2024)",
        redistribute=None,
        rows={"train": 3200000},
        note="configuration PMC-VQA inside",
        example=(
            r'{"id": "CLEVR-Math(MathV360K)_0", "conversations": [{"from": "human", "value": "<image>\nIs there a '
            'bright disc in the drawing?"}, {"from": "gpt", "value": "yes"}], "data_source": '
            '"CLEVR-Math(MathV360K)", "image": {}, "images": {}}'
        ),
    ),
    "scienceqa": DataSet(
        title="ScienceQA",
        adapter="multiple_choice",
        category="general_multimodal",
        options={"layout": "scienceqa"},
        source="derek-thomas/ScienceQA",
        license="CC-BY-NC-SA-4.0",
        citation=(
            "Lu et al., Learn to Explain: Multimodal Reasoning via Thought Chains for Science Question "
            "Answering, arXiv:2209.09513 (2022)"
        ),
        rows={"train": 12726, "validation": 4241, "test": 4241},
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "choices": ["Liver", "Spleen"], '
            '"answer": 0, "hint": "Look at the drawing.", "task": "drawn task", "grade": "drawn grade", '
            '"subject": "drawn subject", "topic": "drawn topic", "category": "drawn category", "skill": "drawn '
            'skill", "lecture": "drawn lecture", "solution": "drawn solution", "image": {}}'
        ),
    ),
    "ai2d": DataSet(
        title="AI2D",
        adapter="multiple_choice",
        category="general_multimodal",
        options={"layout": "ai2d"},
        source="lmms-lab/ai2d",
        license="CC-BY-SA",
        citation="Kembhavi et al., A Diagram Is Worth A Dozen Images, arXiv:1603.07396 (2016)",
        rows={"test": 3088},
        example=(
            '{"question": "Which organ of the drawn patient makes bile?", "options": ["Liver", "Spleen"], '
            '"answer": "0", "image": {}}'
        ),
    ),
    "chartqa": DataSet(
        title="ChartQA",
        adapter="vqa",
        category="general_multimodal",
        options={"layout": "chartqa"},
        source="HuggingFaceM4/ChartQA",
        license="GPL-3.0",
        citation=(
            "Masry et al., ChartQA: A Benchmark for Question Answering about Charts with Visual and Logical "
            "Reasoning, arXiv:2203.10244 (2022)"
        ),
        rows={"train": 28299, "validation": 1920, "test": 2500},
        example=('{"query": "Which side is the disc on?", "label": ["left"], "human_or_machine": 0, "image": {}}'),
    ),
    "cauldron": DataSet(
        title="The Cauldron",
        adapter="cauldron",
        category="general_multimodal",
        source="HuggingFaceM4/the_cauldron",
        license="of each part",
        citation="Laurençon et al., What matters when building vision-language models?, arXiv:2405.02246 (2024)",
        redistribute=None,
        rows={"train": None},
        note="about 1.88M images; configuration `vqarad` inside",
        example=(
            '{"texts": [{"user": "Is there a bright disc in the drawing?", "assistant": "Answer: yes", "source": '
            '"ai2d"}], "images": [{}]}'
        ),
    ),
    "mm_eureka": DataSet(
        title="MM-Eureka",
        adapter="problems",
        category="general_multimodal",
        options={"layout": "mm_eureka"},
        source="FanqingM/MM-Eureka-Dataset",
        license="Apache-2.0",
        citation=(
            "Meng et al., MM-Eureka: Exploring the Frontiers of Multimodal Reasoning with Rule-based "
            "Reinforcement Learning, arXiv:2503.07365 (2025)"
        ),
        rows={"train": 54900},
        example=(
            r'{"id": "0", "conversations": "[{\"role\": \"user\", \"content\": \"<image>How many discs are '
            r'drawn?\"}]", "answer": "2", "image_urls": ["K12/0.png"]}'
        ),
    ),
    "virl39k": DataSet(
        title="ViRL39K",
        adapter="problems",
        category="general_multimodal",
        options={"layout": "virl39k"},
        source="TIGER-Lab/ViRL39K",
        license="MIT",
        citation=(
            "Wang et al., VL-Rethinker: Incentivizing Self-Reflection of Vision-Language Models with "
            "Reinforcement Learning, arXiv:2504.08837 (2025)"
        ),
        rows={"train": 38870},
        example=(
            r'{"question": "<image>Is there a bright disc in the drawing?", "answer": "\\boxed{12}", "category": '
            '"(GradeSchool) Geometric", "source": "Drawn", "qid": "Drawn-0", "PassRate_32BTrained": 0.0, '
            '"PassRate_7BBase": 0.0, "image": ["images/Drawn-0.png"]}'
        ),
    ),
    "geoqa_r1v": DataSet(
        title="GEOQA R1-V 8K",
        adapter="problems",
        category="general_multimodal",
        options={"layout": "r1v"},
        source="leonardPKU/GEOQA_R1V_Train_8K",
        license="not stated",
        redistribute=None,
        rows={"train": None},
        example=('{"problem": "Which side is the disc on?", "solution": "<answer> left </answer>", "image": {}}'),
    ),
    "multimodal_open_r1": DataSet(
        title="Multimodal Open-R1 8K",
        adapter="problems",
        category="general_multimodal",
        options={"layout": "r1v"},
        source="lmms-lab/multimodal-open-r1-8k-verified",
        license="not stated",
        redistribute=None,
        rows={"train": None},
        example=(
            '{"problem": "Which side is the disc on?", "solution": "<think>I look at the '
            'disc.</think><answer>left</answer>", "original_question": "Which side is the disc on?", '
            '"original_answer": "left", "image": {}}'
        ),
    ),
    "openr1_math": DataSet(
        title="OpenR1-Math-220k",
        adapter="openr1_math",
        category="general_text",
        source="open-r1/OpenR1-Math-220k",
        license="Apache-2.0",
        rows={"train": 93700},
        note="extended 131k, all 225k",
        example=(
            '{"problem": "What is 6 x 7?", "solution": "It is 42.", "answer": "42", "problem_type": "Algebra", '
            '"question_type": "math-word-problem", "source": "drawn", "uuid": "u7", "is_reasoning_complete": '
            r'[true, true], "generations": ["<think>\nWay 0: six times 7.\n</think>\n\n43", "<think>\nWay 1: six '
            r'times 7.\n</think>\n\n42"], "correctness_math_verify": [false, true], "correctness_llama": null, '
            '"finish_reasons": null, "correctness_count": 1, "messages": [{"role": "user", "content": "What is 6 '
            'x 7?"}]}'
        ),
    ),
    "open_thoughts": DataSet(
        title="OpenThoughts-114k",
        adapter="chat",
        category="general_text",
        options={"file": "data/*.parquet"},
        source="open-thoughts/OpenThoughts-114k",
        license="Apache-2.0",
        citation="Guha et al., OpenThoughts: Data Recipes for Reasoning Models, arXiv:2506.04178 (2025)",
        rows={"train": 113957},
        example=(
            '{"system": "Think.", "conversations": [{"from": "user", "value": "What is 6 x 7?"}, {"from": '
            r'"assistant", "value": "<|begin_of_thought|>\n\nSix '
            r'sevens.\n\n<|end_of_thought|>\n\n<|begin_of_s..."}]}'
        ),
    ),
    "open_thoughts_metadata": DataSet(
        title="OpenThoughts-114k metadata",
        adapter="reasoning",
        category="general_text",
        options={"layout": "open_thoughts", "file": "metadata/*.parquet"},
        source="open-thoughts/OpenThoughts-114k",
        license="Apache-2.0",
        citation="Guha et al., OpenThoughts: Data Recipes for Reasoning Models, arXiv:2506.04178 (2025)",
        rows={"train": 113957},
        example=(
            '{"problem": "Print 42.", "deepseek_reasoning": "I go through the options one by one. Only one of '
            'them fits.", "deepseek_solution": "print(42)", "ground_truth_solution": "print(42)", "domain": '
            '"code", "source": "drawn", "test_cases": "[]", "starter_code": ""}'
        ),
    ),
    "s1k": DataSet(
        title="s1K",
        adapter="reasoning",
        category="general_text",
        options={"layout": "s1k"},
        source="simplescaling/s1K",
        license="Apache-2.0",
        citation="Muennighoff et al., s1: Simple test-time scaling, arXiv:2501.19393 (2025)",
        rows={"train": 1000},
        example=(
            '{"solution": "42", "question": "What is 6 x 7?", "cot_type": "math", "source_type": "drawn", '
            '"metadata": "{}", "cot": null, "attempt": "It is 42.", "thinking_trajectories": ["I go through the '
            'options one by one. Only one of them fits."]}'
        ),
    ),
    "s1k_1.1": DataSet(
        title="s1K-1.1",
        adapter="reasoning",
        category="general_text",
        options={"layout": "s1k_1.1"},
        source="simplescaling/s1K-1.1",
        license="MIT",
        citation="Muennighoff et al., s1: Simple test-time scaling, arXiv:2501.19393 (2025)",
        rows={"train": 1000},
        example=(
            '{"question": "What is 6 x 7?", "solution": "42", "cot_type": "math", "source_type": "drawn", '
            '"metadata": "{}", "cot": null, "deepseek_thinking_trajectory": "I go through the options one by one.'
            ' Only one of them fits.", "deepseek_attempt": "It is 42.", "deepseek_grade": "Yes"}'
        ),
    ),
    "stratos": DataSet(
        title="Bespoke-Stratos-17k",
        adapter="chat",
        category="general_text",
        source="bespokelabs/Bespoke-Stratos-17k",
        license="Apache-2.0",
        rows={"train": 16710},
        example=(
            '{"system": "Think.", "conversations": [{"from": "user", "value": "What is 6 x 7?"}, {"from": '
            r'"assistant", "value": "<|begin_of_thought|>\n\nSix '
            r'sevens.\n\n<|end_of_thought|>\n\n<|begin_of_s..."}]}'
        ),
    ),
    "infinity_instruct": DataSet(
        title="Infinity-Instruct",
        adapter="chat",
        category="general_text",
        options={"file": "0625/*.parquet"},
        source="BAAI/Infinity-Instruct",
        license="CC-BY-SA-4.0",
        citation=(
            "Infinity Instruct: Scaling Instruction Selection and Synthesis to Enhance Language Models, "
            "arXiv:2506.11116 (2025)"
        ),
        rows={"train": None},
        gated=True,
        note="academic use",
        example=(
            '{"id": 0, "conversations": [{"from": "human", "value": "A colour?"}, {"from": "gpt", "value": '
            '"Grey."}], "label": {"ability_en": ["drawing"], "cate_ability_en": ["art"]}, "langdetect": "en", '
            '"source": "drawn"}'
        ),
    ),
}
"""By name, which is also the folder of its invented rows in `sample_data/`."""
