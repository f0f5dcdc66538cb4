"""axe-core, which checks pages for what people with a disability stumble over. Downloaded, never committed.

python -m tests.support.axe FILE
"""

import hashlib
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

import httpx
from selenium.webdriver import Chrome

URL = "https://registry.npmjs.org/axe-core/-/axe-core-4.10.3.tgz"  # MPL-2.0
SHA256 = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292"
MEMBER = "package/axe.min.js"
RUN = """
const done = arguments[arguments.length - 1];
axe.run({resultTypes: ["violations"]}).then(
  ({violations}) => done(violations.map((each) => [each.id, each.help, each.nodes.map((node) => node.html)])),
  (error) => done([["failed", String(error), []]]));
"""


def install(path: Path) -> None:
    """Download the script with its checksum verified, unless it is there. Raises HTTPError or ValueError."""
    if path.is_file():
        return
    archive = httpx.get(URL, follow_redirects=True, timeout=60).raise_for_status().content
    if hashlib.sha256(archive).hexdigest() != SHA256:
        raise ValueError(f"{URL} is not the published file: its SHA-256 differs")
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        script = package.extractfile(MEMBER)
        assert script is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(script.read())


def find_violations(browser: Chrome, script: str) -> list[Any]:
    """Of the page that is shown: rule, what it asks for, and the elements that break it."""
    browser.execute_script(script)
    found: list[Any] = browser.execute_async_script(RUN)
    return found


def main() -> None:
    try:
        install(Path(sys.argv[1]))
    except (httpx.HTTPError, ValueError) as error:
        sys.stderr.write(f"axe-core cannot be fetched, so its tests are skipped: {error}\n")


if __name__ == "__main__":
    main()
