"""The pages in a real browser: they draw, sort, filter and renew themselves, and complain of nothing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import text

from agd.db.connection import Database
from agd.loop import LocalEngine
from agd.steps.campaign.extending import Calls, extend
from agd.steps.campaign.opening import reopen_campaign
from agd.work.workspace import Workspace

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"  # noqa: S105  it opens nothing
PAGES = (
    "/",
    "/campaigns/small",
    "/campaigns/small/suggestions",
    "/campaigns/small/iterations",
    "/screens",
    "/models",
    "/models/1",
    "/jobs",
    "/jobs/1",
    "/datasets",
    "/datasets/1",
    "/search?q=AB",
    "/composition/LiF",
)
Open = Callable[..., Page]


def served(record: tuple[str, Path], *more: str) -> "subprocess.Popen[str]":
    url, folder = record
    environment = os.environ | {"AGD_DATABASE_URL": url, "AGD_HOME": str(folder)}
    command = [sys.executable, "-m", "agd", "web", "--port", "0", *more]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def address(record: tuple[str, Path]) -> Iterator[str]:
    """Where `agd web` shows the record."""
    with served(record) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.terminate()
    assert process.wait(30) in {0, -15}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium: `make browser` installs it on Debian")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    """Opens a page; at the end no page has complained, and none has asked another host for anything."""
    wrong: list[str] = []

    def heard(page: Page) -> None:
        page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith(address) else wrong.append(request.url))

    def open_(path: str, *, is_dark: bool = False, is_narrow: bool = False) -> Page:
        size: Any = {"width": 390, "height": 800} if is_narrow else {"width": 1280, "height": 800}
        context = browser.new_context(color_scheme="dark" if is_dark else "light", viewport=size)
        page = context.new_page()
        heard(page)
        page.goto(address + path)
        return page

    yield open_
    for context in browser.contexts:
        context.close()
    assert wrong == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone_and_a_screen(open_page: Open, path: str) -> None:
    for is_narrow in (False, True):
        page = open_page(path, is_narrow=is_narrow)
        expect(page.locator("h1")).to_be_visible()
        page.wait_for_load_state("networkidle")
        width = "[document.documentElement.scrollWidth, innerWidth]"
        wide, room = page.evaluate(width)
        assert wide <= room, f"{path} is {wide} wide on {room}"


def test_dark_and_light_differ(open_page: Open) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    assert open_page("/").evaluate(colour) == "rgb(255, 255, 255)"
    assert open_page("/", is_dark=True).evaluate(colour) == "rgb(20, 23, 26)"


def test_figures_are_drawn_and_say_values(open_page: Open) -> None:
    page = open_page("/campaigns/small")
    expect(page.locator("figure.plot .uplot canvas")).to_have_count(5)
    expect(page.locator("#elements .heat").first).to_be_visible()
    finds = page.locator("figure.plot").first
    finds.locator(".u-over").hover()
    expect(finds.locator(".u-value").nth(1)).to_have_text(re.compile(r"^\d+$"))


def test_a_table_is_sorted_filtered_and_paged_in_place(open_page: Open) -> None:
    page = open_page("/campaigns/small/suggestions")
    page.evaluate("document.body.dataset.stays = 'yes'")
    page.get_by_role("link", name="value", exact=True).click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("value")
    values = [float(cell.split()[0]) for cell in page.locator("#rows td:nth-child(3)").all_inner_texts() if cell != "-"]
    assert values == sorted(values, reverse=True)
    assert "sort=value" in page.url
    page.get_by_label("find", exact=True).select_option("yes")
    expect(page.locator("#rows tr", has_not_text="yes")).to_have_count(0)
    page.get_by_label("filter by formula").fill("F")
    page.get_by_label("filter by formula").press("Enter")
    expect(page).to_have_url(re.compile("reduced_formula=F"))
    expect(page.locator("#rows tr", has_not_text="F")).to_have_count(0)
    page.get_by_label("filter by value").fill("nonsense")
    page.get_by_label("filter by value").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("write >6")
    expect(page.get_by_label("filter by value")).to_have_value("nonsense")
    assert page.evaluate("document.body.dataset.stays") == "yes"
    page.get_by_text("show all").click()
    expect(page.get_by_label("filter by value")).to_have_value("")


def test_pages_follow_each_other(open_page: Open) -> None:
    page = open_page("/datasets/1")
    first = page.locator("#rows tr").first.text_content() or ""
    page.get_by_role("link", name="after").click()
    expect(page.locator(".pages")).to_contain_text("page 2")
    expect(page.locator("#rows tr").first).not_to_have_text(first)
    page.go_back()
    expect(page.locator("#rows tr").first).to_have_text(first)


def test_the_search_box_leads_to_a_composition_and_on(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("searchbox").fill("F1 Li")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("h1")).to_have_text("LiF")
    page.get_by_role("link", name="F-Li").click()
    expect(page.locator("h1")).to_contain_text("F-Li")


def test_a_structure_is_drawn_and_turned(
    open_page: Open, writable: Workspace, import_known: Callable[[Workspace], None]
) -> None:
    with writable.database.read() as tx:
        found = tx.execute(text("SELECT max(id) FROM structure")).scalar_one()
    if found is None:
        import_known(writable)
        with writable.database.read() as tx:
            found = tx.execute(text("SELECT id FROM structure WHERE n_sites = 2 LIMIT 1")).scalar_one()
    page = open_page(f"/structures/{found}")
    canvas = page.locator(".crystal canvas")
    expect(canvas).to_be_visible()
    page.wait_for_load_state("networkidle")
    before = canvas.screenshot()
    canvas.focus()
    canvas.press("ArrowRight")
    assert canvas.screenshot() != before


def test_a_page_follows_a_campaign_that_runs(open_page: Open, record: tuple[str, Path]) -> None:
    page = open_page("/campaigns/small")
    page.evaluate("document.body.dataset.stays = 'yes'")
    with Database(record[0]) as database:
        workspace = Workspace(database, record[1] / "artifacts")
        calls = int(page.locator(".budget b").inner_text())
        extend(workspace, "small", Calls.of("+8"))
        expect(page.locator(".budget")).to_contain_text(f"of {calls + 8} calls", timeout=30_000)
        assert LocalEngine().run(workspace, reopen_campaign(workspace, "small")).is_ended
    expect(page.locator(".budget b")).to_have_text(str(calls + 8), timeout=30_000)
    assert page.evaluate("document.body.dataset.stays") == "yes"


def test_a_stranger_has_to_know_the_password(browser: Browser, record: tuple[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    with served(record, "--password-file", str(file)) as process:
        assert process.stdout is not None
        at = process.stdout.readline().split()[0]
        page = browser.new_page()
        page.goto(f"{at}/campaigns/small")
        expect(page.locator("h1")).to_have_text("agd")
        for given in ("wrong", PASSWORD):
            page.get_by_label("Password").fill(given)
            page.get_by_role("button").click()
        expect(page.get_by_role("heading", name="Campaigns")).to_be_visible()
        page.close()
        process.terminate()
