import pytest
import torch
import torch.distributed as dist

from core.ml.training import processes


@pytest.mark.parametrize(
    ("device", "backend", "chosen"),
    [("cpu", "gloo", []), ("cuda:1", "cpu:gloo,cuda:nccl", [torch.device("cuda:1")])],
)
def test_a_process_joins_with_its_own_gpu_and_exchanges_objects_on_the_cpu(
    monkeypatch, device, backend, chosen
):
    backends: list[str] = []
    gpus: list[torch.device] = []
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", backends.append)
    monkeypatch.setattr(torch.cuda, "set_device", gpus.append)
    processes.join_group(torch.device(device))
    assert (backends, gpus) == ([backend], chosen)


def test_a_single_process_joins_no_group(monkeypatch):
    monkeypatch.setattr(dist, "init_process_group", lambda *args: pytest.fail("joined"))
    processes.join_group(torch.device("cpu"))
    processes.leave_group()
    assert processes.world_size() == 1
