"""What holds for every page in a real browser."""

import csv
import io

import httpx
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import url_contains
from selenium.webdriver.support.ui import WebDriverWait

from core.states import JobState
from core.store.session import SessionFactory
from core.store.tables import Job
from tests.browser.pages import PAGES, Page
from tests.support.axe import find_violations
from tests.support.builders import make_api_key
from tests.support.chromium import WIDTHS, complaints, resize
from tests.support.sub_path_proxy import below_a_path

EXPECTED = "the server responded with a status of 404"  # the page of a problem itself
COLOUR_RULES = ("color-contrast", "link-in-text-block")  # the only ones that other colours can break
# The page is as wide as the window: it does not scroll sideways.
TOO_WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_fits_every_screen_and_everybody_can_use_it(
    browser: Chrome, site: str, rest: httpx.Client, filled: SessionFactory, axe: str, page: Page
):
    address = f"{site}/{page.find(rest)}"
    for width in WIDTHS:
        resize(browser, width)
        browser.get(address)
        assert browser.execute_script(TOO_WIDE) <= 0, width
        assert find_violations(browser, axe) == [], width
        resize(browser, width, "dark")
        assert find_violations(browser, axe, COLOUR_RULES) == [], width
    assert [each for each in complaints(browser) if EXPECTED not in each] == []


def test_the_keyboard_skips_to_the_content_and_reaches_every_page(browser: Chrome, site: str, filled):
    browser.get(site)
    first = press(browser, Keys.TAB)
    assert first.text == "Skip to the content"
    assert first.is_displayed()
    press(browser, Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    browser.get(site)
    while press(browser, Keys.TAB).text != "Jobs":
        pass
    press(browser, Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda driver: driver.title.startswith("Jobs"))


def press(browser: Chrome, key: str):
    browser.switch_to.active_element.send_keys(key)
    return browser.switch_to.active_element


def test_a_page_follows_the_server(browser: Chrome, site: str, rest: httpx.Client, filled: SessionFactory):
    job = rest.get("/jobs", params={"state": "queued"}).json()["items"][0]["id"]
    browser.get(f"{site}/jobs")
    row = browser.find_element(By.ID, f"job-{job}")
    assert "queued" in row.text
    with filled.begin() as session:
        session.get_one(Job, job).state = JobState.CANCELLED
    WebDriverWait(browser, 15).until(lambda _: "cancelled" in row.text)  # the same row: it is not replaced


def test_one_facet_after_another_narrows_the_list_and_what_is_found_is_exported(
    browser: Chrome, site: str, filled: SessionFactory
):
    browser.get(f"{site}/library")
    wait = WebDriverWait(browser, 15)
    for label in ("rock", "jazz"):
        facet = f"//aside[@id='facets']//a[not(@class='not') and starts-with(., '{label}')]"
        browser.find_element(By.XPATH, facet).click()
        wait.until(url_contains(f"genre={label}"))
    shown = {
        each.text.split(" / ")[1] for each in browser.find_elements(By.CSS_SELECTOR, "table.tracks .path")
    }
    export = browser.find_element(By.XPATH, "//a[@download and contains(., 'CSV')]")
    read = "return fetch(arguments[0]).then((answer) => answer.text())"
    rows = list(csv.DictReader(io.StringIO(browser.execute_script(read, export.get_attribute("href")))))
    assert {row["path"] for row in rows} == shown
    assert len(rows) == 3


def test_pages_work_below_a_path_of_a_proxy(browser: Chrome, keyed_url: str, filled: SessionFactory):
    with filled.begin() as session:
        _, secret = make_api_key(session, "admin")
    with below_a_path(keyed_url) as site:
        browser.get(f"{site}/jobs?state=failed")
        assert browser.current_url == f"{site}/login?next=jobs%3Fstate%3Dfailed"
        browser.find_element(By.ID, "key").send_keys("mfa_wrong", Keys.ENTER)
        WebDriverWait(browser, 10).until(lambda driver: driver.find_elements(By.CLASS_NAME, "wrong"))
        assert any("401" in each for each in complaints(browser))  # the wrong key, and nothing else
        browser.find_element(By.ID, "key").send_keys(secret, Keys.ENTER)
        WebDriverWait(browser, 10).until(lambda driver: driver.current_url == f"{site}/jobs?state=failed")
        browser.find_element(By.LINK_TEXT, "Home").click()
        WebDriverWait(browser, 10).until(lambda driver: driver.title.startswith("Home"))
        assert browser.current_url == f"{site}/"
        with filled.begin() as session:
            job = session.query(Job).filter_by(state=JobState.RUNNING).one()
            job.state = JobState.CANCELLING
        WebDriverWait(browser, 15).until(
            lambda driver: "cancelling" in driver.find_element(By.ID, f"job-{job.id}").text
        )
        browser.find_element(By.CSS_SELECTOR, "form.logout button").click()
        WebDriverWait(browser, 10).until(lambda driver: driver.title.startswith("Log in"))
