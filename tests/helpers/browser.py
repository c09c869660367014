"""A headless Chromium for the tests of pages, if there is one."""

import contextlib
import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A container's root has no sandbox; the rest keeps the browser from talking to anyone.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium():
    """A Playwright browser: SRGAN_TF_BROWSER's, one on the path, or Playwright's own; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    path = os.environ.get("SRGAN_TF_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as started:
        if path is None and not os.path.exists(started.chromium.executable_path):
            pytest.skip("needs a browser: install chromium, or name one with SRGAN_TF_BROWSER")
        browser = started.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def page(browser, path, *, width=1280, height=900, host="file:", **options):
    """A page of a file:// path in a fresh context; no script may fail and only `host` may be asked for anything."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    found = context.new_page()
    problems = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on(  # a page that closes a stream aborts its request
        "requestfailed", lambda request: request.failure == "net::ERR_ABORTED" or problems.append(request.url)
    )
    found.on(
        "request", lambda request: request.url.startswith((host, "data:", "blob:")) or problems.append(request.url)
    )
    found.set_default_timeout(10_000)
    found.goto(path.as_uri() if hasattr(path, "as_uri") else path)
    yield found
    assert not problems, problems
    context.close()
