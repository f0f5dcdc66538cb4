"""Hurt a running product on purpose: `python -m tests.faults [--seed N ...] [--scale ci|full] [--out DIR]`.

Exit code 1 when a promise was broken. The report of each run says what happened when, and why the verdict.
"""

import argparse
import sys
from pathlib import Path

from core.services.kinds import register_kinds
from core.settings import get_settings
from tests.faults.run import run
from tests.faults.schedule import SCALES

SEEDS = {"ci": [1], "full": [1, 2, 3, 4, 5]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times")
    parser.add_argument("--scale", choices=SCALES, default="ci")
    parser.add_argument("--out", type=Path, help="folder of the reports, default: faults in the data folder")
    arguments = parser.parse_args()
    register_kinds()
    broken = False
    for seed in arguments.seed or SEEDS[arguments.scale]:
        report = run(seed, arguments.scale, arguments.out or get_settings().data_dir / "faults")
        broken |= report["verdict"] == "broken"
        print(f"seed {seed}: {report['verdict']} in {report['took_s']:.0f} s; {report['file']}", flush=True)
        print(f"  {report['kills']} kills, {report['summary']}")
        for kind, figures in report["recovery"].items():
            shown = ", ".join(f"{name} {figures[name]}" for name in ("count", "median_s", "p95_s", "max_s"))
            print(f"  recovery after '{kind}': {shown}")
        for violation in report["broken"][:20]:
            print(f"  {violation['kind']}: {violation['what']}")
    sys.exit(broken)


if __name__ == "__main__":
    main()
