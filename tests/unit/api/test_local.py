"""What `mfa serve` runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from api.client.local import with_reload
from core.local import full_plan, postgres
from tests.conftest import stack_settings


def test_only_the_gateway_is_restarted_when_code_changes(tmp_path: Path) -> None:
    plan = full_plan(stack_settings(tmp_path))
    reloading = with_reload(plan)
    changed = [
        (before.name, set(after.argv) - set(before.argv))
        for before, after in zip(plan.services, reloading.services, strict=True)
        if before != after
    ]
    assert [name for name, _ in changed] == ["api"]
    assert "--reload" in changed[0][1]
    assert reloading.steps == plan.steps


@pytest.mark.parametrize(
    ("limit", "cache"),
    [(f"{4 * 2**30}\n", "256MB"), ("max\n", "1024MB"), (None, "1024MB"), ("1000\n", "128MB")],
)
def test_the_cache_of_postgres_is_a_part_of_what_a_container_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str | None, cache: str
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=64 * 2**30))
    monkeypatch.setattr(postgres, "MEMORY_LIMIT", tmp_path / "memory.max")
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert postgres.chosen_options()["shared_buffers"] == cache
