"""The vision models of transformers, importable beside any build of torch. The one place that knows the trick."""

from __future__ import annotations

from infimed_train.errors import TrainError

__all__ = ["INSTALL", "make_torchvision_importable"]

INSTALL = "pip install 'infimed-toolkit[train]'"


def make_torchvision_importable() -> None:
    """Import torchvision, beside a torch of another build too. Call it before the first import of transformers.

    transformers' Qwen2.5-VL classes import torchvision at load. PyPI's torchvision for Linux x86_64 is linked against
    CUDA; beside a CPU torch its C++ operators cannot load, and the import dies at the first one that it names:
    "operator torchvision::nms does not exist". Its Python half, all that image processors need, works once those names
    are declared. Declared only: calling them would still fail. Beside a matching torch this is a plain import.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise TrainError(f"{error.name}: not installed; {INSTALL}") from None
    try:
        import torchvision
    except ModuleNotFoundError as error:
        raise TrainError(f"{error.name}: not installed; {INSTALL}") from None
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        import torchvision  # noqa: F401
