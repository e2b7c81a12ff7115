"""Versions that work together: by what the installed packages themselves declare, and by what vLLM is known to need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

__all__ = ["version_problems"]

STACK = ("torch", "torchvision", "transformers", "trl", "accelerate", "peft", "datasets", "vllm", "deepspeed")
OURS: dict[str, str] = {
    "torch": ">=2.9,<2.14",
    "torchvision": ">=0.24,<0.29",
    "transformers": ">=5.10.4,<5.18",
    "trl": ">=1.16,<2",
    "accelerate": ">=1.10",
    "peft": ">=0.18",
}
"""What this package was tested with: the extra `train`."""
VLLM_NEEDS: dict[str, str] = {
    "transformers": ">=5.10.4,<5.18",
    "torch": "==2.13.0",
    "torchvision": "==0.28.0",
}
"""What vLLM 0.31.0 declares; used where vLLM is asked for and not installed yet."""
VLLM_OF_TRL = ">=0.22,<=0.31"

Installed = Callable[[str], str | None]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _declared(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def version_problems(
    *,
    vllm: bool,
    lora: bool,
    deepspeed: bool,
    installed: Installed = _installed,
    declared: Callable[[str], list[str]] = _declared,
) -> Iterator[str]:
    """One line a package that is missing or does not fit; the last line is the command that mends all of them."""
    needs = {name: SpecifierSet(text) for name, text in OURS.items() if name != "peft" or lora}
    if vllm:
        needs["vllm"] = SpecifierSet(VLLM_OF_TRL)
    if deepspeed:
        needs["deepspeed"] = SpecifierSet("")
    reasons = dict.fromkeys(needs, "infimed-train[train]")
    for name, text in (VLLM_NEEDS if vllm and installed("vllm") is None else {}).items():
        needs[name] = needs[name] & SpecifierSet(text)
        reasons[name] = "vLLM 0.31"
    for package in STACK:
        if installed(package) is None or (package == "vllm" and not vllm):
            continue
        for requirement in _of_stack(declared(package), vllm and package == "trl"):
            if requirement.name in needs or installed(requirement.name) is not None:
                before = needs.get(requirement.name, SpecifierSet(""))
                there = installed(requirement.name)
                needs[requirement.name] = before & requirement.specifier
                if there is not None and not requirement.specifier.contains(Version(there), prereleases=True):
                    reasons[requirement.name] = f"{package} {installed(package)}"
    wrong = dict(_wrong(needs, installed))
    for name, there in wrong.items():
        found = "not installed" if there is None else f"{there} is installed"
        yield f"{name}: {found}; {reasons.get(name, 'the stack')} needs {name}{needs[name]}"
    if wrong:
        parts = " ".join(f"'{name}{needs[name]}'" for name in wrong)
        yield f"mend it with: pip install {parts}"


def _of_stack(lines: list[str], with_vllm: bool) -> Iterator[Requirement]:
    for line in lines:
        requirement = Requirement(line)
        extra = {"extra": "vllm" if with_vllm else ""}
        if requirement.name in STACK and (requirement.marker is None or requirement.marker.evaluate(extra)):
            yield requirement


def _wrong(needs: Mapping[str, SpecifierSet], installed: Installed) -> Iterator[tuple[str, str | None]]:
    for name, specifier in needs.items():
        there = installed(name)
        if there is None or not specifier.contains(Version(there), prereleases=True):
            yield name, there
