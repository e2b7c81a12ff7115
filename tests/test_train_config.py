"""A configuration is read with its faults named by line, and TRL's arguments are held against TRL's own class."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Write

from infimed_train.config import EvalConfig, SftConfig, load_config, ready_configs, trl_config
from infimed_train.errors import TrainError

SFT = "task: sft\nmodel: m\noutput: runs/x\ndata:\n  path: builds/x\n"


def faults(path: Path, *settings: str, task: str | None = None) -> list[str]:
    """The lines of the error that the file raises, its folder taken off."""
    with pytest.raises(TrainError) as caught:
        load_config(path, settings, task=task)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: stf\n", "run.yaml:1: task: 'stf'; allowed: sft, grpo, eval; did you mean 'sft'?"),
        ("model: m\n", "run.yaml:1: task: empty; allowed: sft, grpo, eval"),
        ("task: sft\noutput: x\ndata: {path: b}\n", "run.yaml:1: model: missing; it has no default"),
        (SFT + "learning_rate: 1e-5\n", "TRL's own arguments stand under `trl:`"),
        (SFT + "max_token: 5\n", "run.yaml:6: max_token: unknown key; allowed: "),
        (SFT + "  spit: train\n", "run.yaml:6: data.spit: unknown key; allowed: path, output, split, "),
        (SFT + "max_tokens: many\n", "run.yaml:6: max_tokens: 'many'; allowed: a whole number"),
        (SFT + "freeze: [visoin]\n", "did you mean 'vision'?"),
        (SFT + "freeze: vision\n", "run.yaml:6: freeze: 'vision'; allowed: a list"),
        (SFT + "gate: {path: builds/x, split: train}\n", "gate asks the rows that are trained on (builds/x sft/train)"),
        (SFT + "gate: {path: b, max_row: 3}\n", "gate.max_row: unknown key; allowed: path, output, split, revision,"),
        (SFT + "pixels: {min_pixels: 9000, max_pixels: 5000}\n", "min_pixels 9000 over max_pixels 5000"),
        ("task: eval\noutput: x\nmodel: m\nbenchmarks: {}\n", "run.yaml:4: benchmarks: {}; allowed: at least one"),
        ("task: eval\noutput: x\nbenchmarks: {a: {path: b}}\n", "nobody to ask"),
        (
            "task: eval\noutput: x\nserver: {base_url: u, model: m}\nvllm: {}\nbenchmarks: {a: {path: b}}\n",
            "vllm and server; give one of them",
        ),
        ("task: [\n", "run.yaml:2: not valid YAML"),
        (SFT + '"a\\nb\\e[2J": 1\n', r"run.yaml:6: a\nb\x1b[2J: unknown key"),
        ("- a\n", "run.yaml:1: a list; allowed: a mapping of the keys of a configuration"),
        (SFT + "output: runs/y\n", "found duplicate key"),
        (SFT + "seed: 1\n'seed': 2\n", "found duplicate key"),
        (SFT + "trl: {seed: 99999999999999999999}\n", "run.yaml:6: trl.seed: a number of more than 64 bits"),
        (SFT + "trl: {seed: .nan}\n", "run.yaml:6: trl.seed: nan; allowed: a finite number"),
        (SFT + "trl: !!python/object:os.system {}\n", "run.yaml:6: trl: the tag"),
        (SFT + "trl: " + "[" * 40 + "]" * 40 + "\n", "nested too deeply"),
        (SFT + "#" * (1 << 20) + "\n", "run.yaml:1: more than 1,048,576 bytes"),
        ("extends: run.yaml\n", "extends: a circle"),
    ],
)
def test_a_fault_is_one_line_with_its_place(write: Write, text: str, expected: str) -> None:
    lines = faults(write(text))
    assert len(lines) == 1
    assert expected in lines[0]


def test_a_missing_file_names_the_ready_ones(tmp_path: Path) -> None:
    (line,) = faults(tmp_path / "sft_lorra")
    assert "did you mean 'sft_lora'?" in line


def test_a_command_refuses_another_tasks_file(write: Write) -> None:
    (line,) = faults(write(SFT), task="grpo")
    assert line.startswith("run.yaml:1: task: 'sft', but the command is 'grpo'")


def test_set_and_extends_lie_over_the_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(SFT + "trl: {num_train_epochs: 3, seed: 1}\nmax_tokens: 10\n", "utf-8")
    path = write("extends: base.yaml\ntrl:\n  seed: 2\n")

    loaded = load_config(path, ["data.split=dev", "trl.learning_rate=1e-6", "freeze=[]"])

    assert isinstance(loaded.config, SftConfig)
    assert loaded.config.data.split == "dev"
    assert loaded.config.freeze == ()
    assert loaded.config.trl == {"num_train_epochs": 3, "seed": 2, "learning_rate": 1e-6}
    assert loaded.place("trl", "seed") == f"{path}:3"
    assert loaded.place("max_tokens") == f"{tmp_path / 'base.yaml'}:7"
    assert loaded.place("trl", "learning_rate") == "--set trl.learning_rate=1e-6"
    whole = load_config(path, ["trl={lr_scheduler_type: cosine}"]).config
    assert isinstance(whole, SftConfig)
    assert whole.trl == {"lr_scheduler_type": "cosine"}
    assert faults(path, "trl.seed=!wild 3")[0] == "--set trl.seed=!wild 3: the value is not valid YAML"
    assert faults(path, "max_tokens")[0].startswith("--set max_tokens: not key=value")
    assert faults(path, "output.x=1")[0].startswith("--set output.x=1: output is 'runs/x'; allowed: a mapping")


@pytest.mark.parametrize("name", sorted(ready_configs()))
def test_a_ready_configuration_is_valid_to_us_and_to_trl(name: str, training: None, tmp_path: Path) -> None:
    loaded = load_config(name)
    if isinstance(loaded.config, EvalConfig):
        return
    arguments = trl_config(loaded, loaded.config.trl, output=tmp_path, extra={"bf16": False, "use_cpu": True})
    assert arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps % 4 == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  learning_rat: 1.0\n", "trl.learning_rat: unknown to trl.SFTConfig; did you mean 'learning_rate'?"),
        ("  learning_rate: fast\n", "run.yaml:7: trl.learning_rate: 'fast'; allowed: float"),
        ("  save_steps: [1]\n", "run.yaml:7: trl.save_steps: [1]; allowed: float"),
        ("  max_length: 1024\n", "run.yaml:7: trl.max_length: not to be given; a cut takes image tokens"),
        ("  packing: true\n", "trl.packing: not to be given; TRL cannot pack rows with images"),
        ("  lr_scheduler_type: cosin\n", "trl: cosin is not a valid SchedulerType"),
        ("  num_generations: 4\n", "trl.num_generations: unknown to trl.SFTConfig"),
    ],
)  # fmt: skip
def test_trl_arguments_are_held_against_trls_own_class(
    write: Write, training: None, text: str, expected: str, tmp_path: Path
) -> None:
    loaded = load_config(write(SFT + "trl:\n" + text))
    assert isinstance(loaded.config, SftConfig)
    with pytest.raises(TrainError) as caught:
        trl_config(loaded, loaded.config.trl, output=tmp_path)
    (line,) = str(caught.value).splitlines()
    assert expected in line


def test_our_defaults_lie_under_the_users_values(write: Write, training: None, tmp_path: Path) -> None:
    loaded = load_config(write(SFT + "lora: {rank: 4}\ntrl: {bf16: false, use_cpu: true}\n"))
    assert isinstance(loaded.config, SftConfig)

    arguments = trl_config(loaded, loaded.config.trl, output=tmp_path)

    assert arguments.max_length is None
    assert arguments.learning_rate == 1e-4
    assert arguments.report_to == []
    assert trl_config(loaded, {**loaded.config.trl, "learning_rate": 2e-5}, output=tmp_path).learning_rate == 2e-5
