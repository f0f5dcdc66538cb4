"""Pictures of every page, light and dark, on a phone, a tablet and a desktop.

    python -m tests.browser.screenshots FOLDER [URL]

Without the address of a server, the local stack is started, the sample library labelled, its map drawn, and a
study made of it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from selenium.webdriver.support.ui import WebDriverWait

from core.config.tuning import load_tuning
from core.local import local_stack
from core.settings import PROJECT, get_settings
from tests.browser.pages import PAGES
from tests.support.chromium import SCHEMES, WIDTHS, chromium, find_programs, resize, save_screenshot

TRIALS = 8  # of a study of the sample library
TABLET = 820  # pixels, held upright
SCREENS = sorted((*WIDTHS, TABLET))
SETTLED = "return document.readyState === 'complete' && !document.querySelector('.skeleton')"


@contextmanager
def demo_stack() -> Iterator[str]:
    settings = get_settings()
    with local_stack(settings) as stack, httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as rest:
        folder = str((settings.data_dir / "samples").resolve())
        rest.post("/libraries", json={"name": "samples", "path": folder}).raise_for_status()
        study = load_tuning(PROJECT / "configs" / "tuning" / "samples.yaml").model_dump(mode="json")
        for kind, params in (
            ("analysis", {"library": "samples"}),
            ("map", {}),
            ("tuning", {"study": study | {"n_trials": TRIALS}}),
        ):
            job = rest.post("/jobs", json={"kind": kind, "params": params}).raise_for_status().json()
            with rest.stream("GET", f"/jobs/{job['id']}/events") as events:
                for _ in events.iter_lines():  # until the job has ended
                    pass
        yield stack.url


def save_all(url: str, folder: Path) -> int:
    """How many pictures there are in `folder` now: `<page>-<width>-<scheme>.png`."""
    programs = find_programs()
    if programs is None:
        raise SystemExit("Screenshots need the packages chromium and chromium-driver of the system.")
    folder.mkdir(parents=True, exist_ok=True)
    with chromium(programs) as browser, httpx.Client(base_url=f"{url}/api/v1", timeout=60) as rest:
        for page in PAGES:
            address = page.find(rest)
            for width in SCREENS:
                for scheme in SCHEMES:
                    resize(browser, width, scheme)
                    browser.get(f"{url}/{address}")
                    WebDriverWait(browser, 10).until(lambda driver: driver.execute_script(SETTLED))
                    save_screenshot(browser, folder / f"{page.name}-{width}-{scheme}.png")
    return len(PAGES) * len(SCREENS) * len(SCHEMES)


def main() -> None:
    folder, *addresses = sys.argv[1:]
    if addresses:
        count = save_all(addresses[0], Path(folder))
    else:
        with demo_stack() as url:
            count = save_all(url, Path(folder))
    sys.stdout.write(f"{count} pictures are in {folder}\n")


if __name__ == "__main__":
    main()
