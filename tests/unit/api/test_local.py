"""What `mfa serve` runs."""

from pathlib import Path

from api.client.local import with_reload
from core.local import full_plan
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
