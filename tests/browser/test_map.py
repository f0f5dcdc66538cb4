"""The map in a real browser, with the keyboard alone."""

import httpx
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from core.store.session import SessionFactory
from core.store.tables import Map, MapPoint, Model
from tests.support.builders import make_map

COLOURED = """
const canvas = document.querySelector(".map-frame canvas");
const copy = document.createElement("canvas");
[copy.width, copy.height] = [canvas.width, canvas.height];
const context = copy.getContext("2d");
context.drawImage(canvas, 0, 0);
const { data } = context.getImageData(0, 0, copy.width, copy.height);
return data.filter((value, place) => place % 4 === 3 && value > 0).length;
"""
# No WebGL2, no storage, and a proxy that strips what says of which map an answer is.
AT_LEAST = """
const refuse = () => { throw new DOMException("blocked", "SecurityError"); };
Object.defineProperty(window, "sessionStorage", { get: refuse });
const header = Headers.prototype.get;
Headers.prototype.get = function (name) {
  return name === "ETag" ? null : header.call(this, name);
};
const give = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : give.call(this, kind, ...rest);
};
"""


@pytest.mark.parametrize("has_all", [True, False])
def test_points_are_drawn_named_searched_and_opened(
    browser: Chrome, site: str, rest: httpx.Client, filled: SessionFactory, has_all: bool
):
    script = None
    if not has_all:
        source = {"source": AT_LEAST}
        script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    try:
        browser.get(f"{site}/map")
        wait = WebDriverWait(browser, 15)
        canvas = wait.until(lambda driver: driver.find_element(By.CSS_SELECTOR, ".map-frame canvas[role]"))
        wait.until(lambda driver: driver.execute_script(COLOURED) > 50)
        assert "rock" in browser.find_element(By.CLASS_NAME, "map-legend").text
        browser.find_element(By.ID, "find").send_keys("jazz", Keys.ENTER)
        said = browser.find_element(By.CLASS_NAME, "map-said")
        wait.until(lambda _: said.text == "3 points are marked.")
        canvas.send_keys("+")
        tip = browser.find_element(By.CLASS_NAME, "map-tip")
        wait.until(lambda _: "jazz/1.wav" in tip.text)  # the nearest to the middle
        canvas.send_keys(Keys.ENTER)
        wait.until(lambda driver: "/tracks/" in driver.current_url)
    finally:
        if script:
            browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_map_that_is_replaced_meanwhile_is_told_and_loaded(
    browser: Chrome, site: str, filled: SessionFactory
):
    browser.get(f"{site}/map")
    wait = WebDriverWait(browser, 15)
    wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "mfa-map[data-drawn]"))
    with filled.begin() as session:
        old = session.query(Map).one()
        points = session.query(MapPoint).filter_by(map_id=old.id).all()
        model = session.query(Model).one()
        make_map(session, model, [(each.content_hash, each.y, each.x) for each in points])
    browser.execute_script("window.same = true")
    browser.find_element(By.ID, "find").send_keys("jazz", Keys.ENTER)
    wait.until(lambda driver: not driver.execute_script("return window.same"))
    said = wait.until(lambda driver: driver.find_element(By.CLASS_NAME, "map-said"))
    wait.until(lambda _: said.text.startswith("A newer map has been drawn meanwhile: this is it."))
    wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "mfa-map[data-drawn]"))
    browser.find_element(By.ID, "find").send_keys("jazz", Keys.ENTER)
    wait.until(lambda _: said.text == "3 points are marked.")


def test_the_tracks_in_view_are_listed(browser: Chrome, site: str, filled: SessionFactory):
    browser.get(f"{site}/map")
    wait = WebDriverWait(browser, 15)
    button = "//button[@aria-label='List the tracks in view']"
    wait.until(lambda driver: driver.find_elements(By.XPATH, button))[0].send_keys(Keys.ENTER)
    wait.until(lambda driver: "/library?area=" in driver.current_url)
    assert len(browser.find_elements(By.CSS_SELECTOR, "table.tracks tbody tr")) == 3
