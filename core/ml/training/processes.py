"""Distributed training with `torchrun`; every function also works in a single process."""

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def join_group(device: torch.device) -> None:
    """Join the process group, if `torchrun` has started this process."""
    if dist.is_available() and dist.is_torchelastic_launched() and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)  # otherwise every process would also use the first GPU
        # Python objects are exchanged on the CPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")


def leave_group() -> None:
    """Leave the process group before the process ends."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def own_device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; each process of a machine uses its own GPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and dist.is_available() and dist.is_torchelastic_launched():
        return torch.device("cuda", dist.get_node_local_rank())
    return torch.device(name)


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files."""
    return rank() == 0


def gather(value: T) -> list[T]:
    """The values of all processes, ordered by rank."""
    if world_size() == 1:
        return [value]
    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def mean_over_processes(*values: float) -> list[float]:
    """The mean of each value over all processes."""
    if world_size() == 1:
        return list(values)
    totals = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(totals)
    return [float(total) / world_size() for total in totals]


def share_gradients(model: nn.Module, device: torch.device) -> nn.Module:
    """The model wrapped so that its backward pass averages gradients over all processes."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def share_buffers(model: nn.Module) -> None:
    """Broadcast the running statistics of the first process, whose model is stored."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def wait_for_all() -> None:
    """Wait until every process has reached this point."""
    if world_size() > 1:
        dist.barrier()
