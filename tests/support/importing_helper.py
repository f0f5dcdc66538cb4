"""A helper that fails on imports after its lockdown: `python -m tests.support.importing_helper`."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from core.ml.audio.sandbox import helper
from core.ml.audio.sandbox.limits import lock_down

late: list[str] = []


class Watch:
    """Asked first for every module that is not loaded yet."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        late.append(name)
        return None


def watched() -> list[str]:
    lacking = lock_down()
    sys.meta_path.insert(0, Watch())
    return lacking


def reporting(work: Any) -> Any:
    def handler(*arguments: Any, **options: Any) -> helper.Answer:
        answer: helper.Answer = work(*arguments, **options)
        if late:
            raise ImportError(f"imported when locked down: {late}")
        return answer

    return handler


vars(helper).update(lock_down=watched)
helper.HANDLERS.update({name: reporting(work) for name, work in helper.HANDLERS.items()})

if __name__ == "__main__":
    helper.main()
