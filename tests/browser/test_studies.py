"""A study's pictures: trials are pointed at, also by keys, and opened."""

from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from core.store.session import SessionFactory
from core.store.tables import Study
from tests.support.builders import make_trial


def card(browser: Chrome) -> str:
    return browser.find_element(By.CLASS_NAME, "trial-card").text


def find_trial(browser: Chrome, picture: WebElement, number: int) -> tuple[int, int]:
    """Where a trial lies in a picture, in pixels from its middle."""
    script = """
        const [svg, number] = arguments;
        for (const path of svg.querySelectorAll("path[data-trials]")) {
          const place = path.dataset.trials.split(" ").indexOf(number);
          if (place < 0) continue;
          const [x, y] = path.getAttribute("d").split("M")[place + 1].split("h")[0].split(" ").map(Number);
          const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
          const box = svg.getBoundingClientRect();
          return [at.x - box.x - box.width / 2, at.y - box.y - box.height / 2];
        }"""
    x, y = browser.execute_script(script, picture, str(number))
    return round(x), round(y)


def test_a_trial_is_pointed_at_and_opened_also_after_the_study_has_gone_on(
    browser: Chrome, site: str, filled: SessionFactory
):
    with filled() as session:
        study = session.query(Study).one()
    browser.get(f"{site}/studies/{study.id}")
    history = browser.find_element(By.CSS_SELECTOR, "svg.axes")
    history.send_keys(Keys.ARROW_RIGHT)
    assert card(browser).splitlines()[0] == "Trial 1"
    assert "0.7" in card(browser)
    history.send_keys(Keys.END, Keys.ESCAPE)
    assert card(browser) == ""
    with filled.begin() as session:
        make_trial(session, session.get_one(Study, study.id), 4, 0.9)
    browser.execute_script("document.getElementById('study').refresh()")
    WebDriverWait(browser, 15).until(lambda _: browser.find_elements(By.ID, "trial-4"))
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", history)
    x, y = find_trial(browser, history, 4)

    def shows_trial_4(driver: Chrome) -> bool:
        ActionChains(driver).move_to_element_with_offset(history, x - 5, y + 5).perform()
        return card(driver).startswith("Trial 4\n")

    WebDriverWait(browser, 15).until(shows_trial_4)  # not while the page scrolls
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg.axes path.current")) == 4
    ActionChains(browser).click().perform()
    address = f"{site}/studies/{study.id}/trials/4"
    WebDriverWait(browser, 15).until(lambda driver: driver.current_url == address)
