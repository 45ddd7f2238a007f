"""A browser without a window, Debian's chromium, that reaches this machine only."""

import json
import shutil

import pytest

from tests.processes import wait_until

SECONDS = 30  # until a page shows what it should; far above what it takes


class Browser:
    """Looks at a page as a person does; `requests` are all addresses it asked for."""

    def __init__(self):
        webdriver = pytest.importorskip("selenium.webdriver")
        chromium, driver = map(shutil.which, ("chromium", "chromedriver"))
        if not (chromium and driver):
            pytest.skip("no browser: apt-get install chromium chromium-driver")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "headless=new",
            "no-sandbox",  # it may be root, in a container
            "disable-dev-shm-usage",
            "window-size=1280,1000",
            "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ):
            options.add_argument(f"--{argument}")
        kinds = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", kinds)
        service = webdriver.ChromeService(executable_path=driver)
        errors = pytest.importorskip("selenium.common.exceptions")
        self.stale = errors.StaleElementReferenceException
        self.driver = webdriver.Chrome(options=options, service=service)
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def find(self, css: str) -> list:
        return self.driver.find_elements("css selector", css)

    def attributes(self, css: str, name: str) -> list[str]:
        """An attribute of all elements of a kind, read at one moment."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".map(x => x.getAttribute(arguments[1]))"
        )
        return self.driver.execute_script(script, css, name)

    def wait(self, css: str, text: str = "", seen: bool = True):
        """The first element of a kind that can be seen and has a text in it."""
        found = []

        def there() -> bool:
            try:
                found[:] = [
                    x
                    for x in self.find(css)
                    if text in x.get_attribute("textContent")
                    and x.is_displayed() >= seen
                ]
            except self.stale:  # the page has replaced it meanwhile
                return False
            return bool(found)

        wait_until(there, seconds=SECONDS, every=0.05)
        return found[0]

    def write(self, css: str, text: str) -> None:
        """Puts a text into a field in the place of what is there."""
        field = self.wait(css)
        field.clear()
        field.send_keys(text)

    def read_logs(self) -> None:
        """Takes over what the browser has noted since the last call."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        self.complaints += [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["level"] == "SEVERE"
        ]

    def quit(self) -> None:
        self.driver.quit()
