"""All benchmarks on the sample library: `python -m tests.benchmarks`."""

import subprocess
import sys

from core.settings import get_settings

settings = get_settings()
for benchmark in ("engine", "sandbox", "stack", "bombs", "relabelling", "learning", "preparation", "idle"):
    print(f"== {benchmark}", flush=True)
    arguments = (str(settings.models_dir / "musicnn-msd-1"), str(settings.data_dir / "samples"))
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{benchmark}", *arguments], check=True)
for benchmark in ("pages", "life_cycle"):
    print(f"== {benchmark}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.benchmarks.{benchmark}"], check=True)
