"""Draws and writes all sample data: `python sample_data/draw.py [--out DIR] [--seed N] [--scale K]`.

A run with the same arguments and library versions writes the same bytes. With the defaults the output is what this
folder holds in git. `--scale 50` makes a world with fifty times the pictures, large enough to train a small model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from disk import World, write_json
from layout_benchmarks import write_benchmarks
from layout_chat import write_chat, write_llava, write_llava_cot
from layout_exams import write_exams
from layout_instructions import write_instructions
from layout_medical_vqa import write_medical_vqa
from layout_slake import write_slake, write_slake_validate
from layout_text import write_medical_o1, write_medmcqa, write_medqa, write_pubmedqa
from layout_vqa_rad import write_vqa_rad, write_vqa_rad_hub, write_vqa_rad_osf
from traces import write_traces


def write_world(world: World) -> None:
    """Every source below `world.root`, and `planted.json` with every defect and what is expected of it."""
    rad = write_vqa_rad(world)
    write_vqa_rad_osf(world, rad)
    write_vqa_rad_hub(world, rad)
    write_slake(world)
    write_slake_validate(world)
    medqa_test = write_medqa(world)
    mcqa = write_medmcqa(world, medqa_test)
    write_pubmedqa(world)
    write_medical_o1(world)
    write_llava(world, rad)
    write_llava_cot(world)
    write_chat(world)
    write_benchmarks(world)
    write_instructions(world)
    write_exams(world)
    write_medical_vqa(world)
    write_traces(world, rad, mcqa)
    write_json(world.root / "planted.json", world.planted, indent=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the sample data.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write (default: this one)")
    parser.add_argument("--seed", type=int, default=7, help="what the pictures and the choice of questions hang on")
    parser.add_argument("--scale", type=int, default=1, help="how many times the pictures; written text does not grow")
    options = parser.parse_args()
    if options.scale < 1 or options.seed < 0:
        parser.error(f"--scale is {options.scale} and --seed {options.seed}, allowed are 1 or more and 0 or more")
    world = World(options.out, options.seed, options.scale)
    write_world(world)
    print(f"{len(world.planted)} planted defects, listed in {options.out / 'planted.json'}")


if __name__ == "__main__":
    main()
