"""Training and evaluation of medical vision-language models: TRL trains, this makes the wrong thing hard to start.

config/          what a user asks for: typed YAML, TRL's own arguments checked against TRL's own dataclasses
data/            rows of a build or the Hub, their lengths, sources and difficulty
rewards/         the verifier as the reward, curves, alarms, and the audit before training
model.py         processor, model, frozen towers, adapters
completions/     what a policy said while it was trained, as a page
runs/            the run's folder: card, curves, whole checkpoints
sft.py  grpo.py  evaluate/     one verb each
gate.py          the same questions before and after SFT
check/           what is found out before a GPU is rented
cli.py           the command `infimed-train`

torch, transformers and TRL are imported inside functions only, so that `--help` and a wrong key answer at once.
"""

__version__ = "0.1.0"
