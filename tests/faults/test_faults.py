"""The product under all faults at once, as `make faults` runs it."""

from pathlib import Path

import pytest

from tests.faults.run import run

SEED = 1


@pytest.mark.slow
@pytest.mark.e2e
def test_every_promise_is_kept_whatever_dies(tmp_path: Path) -> None:
    report = run(SEED, "ci", tmp_path)
    assert report["broken"] == []
    assert report["kills"] >= 10
    assert report["summary"]["tracks"] >= 300
    assert report["summary"]["reaped"] > 0
    assert report["summary"]["repeated_doorbells"] >= report["summary"]["doorbells"]
