"""A real browser without a window: Debian's packages chromium and chromium-driver."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it may run as root
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--use-angle=swiftshader",  # for WebGL, and for nothing else: without a GPU it is the slowest way to draw
    "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",
    "--autoplay-policy=no-user-gesture-required",
    "--force-prefers-reduced-motion",  # or elements move away while they are clicked
    "--lang=en",
)
SLOW_DRAWING = "GL Driver Message (OpenGL, Performance"  # of the driver, as it draws without a GPU
WIDTHS = (390, 1024, 1440)
HEIGHT = 900
SCHEMES = ("light", "dark")


def find_programs() -> tuple[str, str] | None:
    """The browser and its driver, if both are installed."""
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def chromium(programs: tuple[str, str]) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location, driver = programs
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options, ChromeService(driver))
    browser.set_script_timeout(30)
    browser.set_page_load_timeout(30)
    try:
        yield browser
    finally:
        browser.quit()


def resize(browser: Chrome, width: int, scheme: str = "light") -> None:
    """Show pages `width` pixels wide, in the colours of `scheme`."""
    screen = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    colours = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)


def save_screenshot(browser: Chrome, path: Path) -> None:
    """The whole page, also what lies below the window."""
    answer = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(answer["data"]))


def complaints(browser: Chrome) -> list[str]:
    """What the console has shown since it was asked last: errors, and what the policy has refused."""
    entries: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    said = [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
    return [each for each in said if SLOW_DRAWING not in each]
