"""The product under all faults at once, as `make faults` runs it."""

from pathlib import Path

import pytest

from tests.faults.messages import COPIES
from tests.faults.run import run
from tests.faults.schedule import SCALES


@pytest.mark.slow
@pytest.mark.timeout(1800)  # at full scale
@pytest.mark.e2e
def test_every_promise_is_kept_whatever_dies(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    name = pytestconfig.getoption("--faults-scale")
    scale = SCALES[name]
    report = run(pytestconfig.getoption("--faults-seed"), name, tmp_path)
    assert report["broken"] == []
    assert report["kills"] == scale.kills + scale.failpoints
    assert report["summary"]["tracks"] >= scale.tracks
    assert report["summary"]["reaped"] > 0
    assert report["summary"]["repeated_messages"] >= COPIES * report["summary"]["messages"] > 0
