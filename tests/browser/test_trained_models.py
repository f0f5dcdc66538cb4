"""What moves on the pages of models and trainings, by keys alone."""

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait
from sqlalchemy import select

from core.config.params import JobKind
from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job


def told(browser: Chrome) -> dict[str, str]:
    """What the chosen threshold decides."""
    found = browser.find_elements(By.CSS_SELECTOR, "td[data-out]")
    return {each.get_attribute("data-out") or "": each.text for each in found}


def test_a_threshold_is_moved_and_says_what_it_would_change(
    browser: Chrome, site: str, filled: SessionFactory
):
    browser.get(f"{site}/models/default?label=rock")
    slider = browser.find_element(By.CSS_SELECTOR, "input[type=range]")
    assert told(browser)["threshold"] == "0.100"
    slider.send_keys(Keys.ARROW_RIGHT)
    assert told(browser)["threshold"] == "0.101"
    field = browser.find_element(By.ID, "threshold")
    field.clear()
    field.send_keys("0.5")
    assert told(browser) == {
        "threshold": "0.500",
        "given": "3",
        "right": "2",
        "precision": "0.667",
        "recall": "0.667",
        "gained": "0",
        "lost": "1",
    }
    between = browser.find_element(By.CSS_SELECTOR, "a[data-out=library]")
    assert "genre=rock" in (between.get_attribute("href") or "")
    assert "min_score=0.1&max_score=0.5" in (between.get_attribute("href") or "")
    browser.get(f"{site}/models/default?label=rock&threshold=0.5")
    assert told(browser)["lost"] == "1"  # the server says the same of this address


def test_a_chart_says_its_values_at_a_cursor(browser: Chrome, site: str, filled: SessionFactory):
    browser.get(f"{site}/training")
    browser.find_element(By.CSS_SELECTOR, "tr[id^=run-] th a").click()
    chart = WebDriverWait(browser, 10).until(lambda driver: driver.find_element(By.TAG_NAME, "mfa-chart"))
    chart.find_element(By.TAG_NAME, "svg").send_keys(Keys.HOME, Keys.ARROW_RIGHT)
    wanted = "Epoch 2: training, fold 1 0.5, training, fold 2 0.5, validation, fold 1 0.75"
    said = chart.find_element(By.TAG_NAME, "output")
    WebDriverWait(browser, 10).until(lambda _: said.text.startswith(wanted))
    with filled.begin() as session:  # a page that follows the server keeps its cursor
        job = session.scalars(select(Job).where(Job.kind == JobKind.TRAINING)).one()
        job.state = JobState.RUNNING
    WebDriverWait(browser, 15).until(lambda driver: "running" in driver.find_element(By.TAG_NAME, "h1").text)
    WebDriverWait(browser, 10).until(lambda _: said.text.startswith(wanted))


def test_a_form_writes_the_configuration_as_it_is_filled_in(
    browser: Chrome, site: str, filled: SessionFactory
):
    browser.get(f"{site}/training/new")
    text = browser.find_element(By.ID, "text")
    assert "labels_from: genre_tags" in str(text.get_property("value"))
    Select(browser.find_element(By.ID, "labels")).select_by_value("corrections")
    WebDriverWait(browser, 10).until(lambda _: "kind: corrections" in str(text.get_property("value")))
