"""The declarations of all kinds of jobs and units fit together."""

from collections import Counter
from pkgutil import resolve_name

import pytest

from core.config.params import JobKind
from core.errors import ITEM_ERRORS, ItemError
from core.jobs.kinds import UnitSpec, job_specs, queues, serving_queues, unit_specs


def test_every_kind_of_job_is_declared_once():
    assert Counter(spec.name for spec in job_specs()) == Counter(JobKind)


def test_no_two_kinds_of_units_have_one_name():
    assert set(Counter(spec.name for spec in unit_specs()).values()) == {1}


@pytest.mark.parametrize("spec", unit_specs(), ids=lambda spec: spec.name)
def test_the_body_of_a_unit_exists(spec: UnitSpec):
    assert callable(resolve_name(spec.body))


def test_the_service_is_ready_without_workers_that_train():
    assert queues() == ("plan", "batch", "interactive", "train", "trial")
    assert serving_queues() == ("plan", "batch", "interactive")


def test_every_error_of_an_item_is_found_by_its_code():
    assert set(ITEM_ERRORS.values()) == set(ItemError.__subclasses__())
