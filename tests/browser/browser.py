"""A headless Chromium for tests, driven by its own protocol over two pipes; nothing but Python's
standard library."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
ANSWER_SECONDS = 60  # A machine that is busy with other tests starts a browser in ten.


def find():
    """The browser's path: CAIRN_BROWSER, or what is in PATH; None if there is none."""
    wanted = os.environ.get("CAIRN_BROWSER")
    for name in (wanted,) if wanted else NAMES:
        path = shutil.which(name)
        if path:
            return path
    return None


class Browser:
    """One page. Keeps what it says and asks for, so that a test can look at it."""

    def __init__(self, path):
        self.folder = tempfile.TemporaryDirectory(prefix="cairn-browser.",
                                                  ignore_cleanup_errors=True)
        # The browser reads commands from descriptor 3 and answers on 4.
        to_browser, self.to = os.pipe()
        self.answers, from_browser = os.pipe()
        command = [
            path, "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
            # Containers have little shared memory, and often neither user nor kernel for its sandbox.
            "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars",
            # What it would ask of the network by itself.
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--user-data-dir=" + self.folder.name, "--force-device-scale-factor=1", "about:blank"]
        # In the child: to 3 and 4, by way of numbers that are neither.
        def places():
            high = (os.dup2(to_browser, 100), os.dup2(from_browser, 101))
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)
        self.log = open(os.path.join(self.folder.name, "log"), "wb")
        self.process = subprocess.Popen(command, preexec_fn=places, close_fds=False,
                                        start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer = b""
        self.last_id = 0
        self.events = []
        self.session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = [target["targetId"] for target in targets if target["type"] == "page"][0]
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
            self.process.wait(ANSWER_SECONDS)
        except (OSError, RuntimeError, subprocess.TimeoutExpired):
            pass  # What is left of it is killed.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()
        os.close(self.to)
        os.close(self.answers)
        self.folder.cleanup()

    def call(self, method, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self.read(deadline, method)
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def read(self, deadline, awaited):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.answers, 1 << 16) if ready else b""
            if not data:
                with open(self.log.name, errors="replace") as log:
                    said = log.read()[-2000:]
                raise RuntimeError(f"no answer of the browser to {awaited}; it said:\n{said}")
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self, url, width, height=900, dark=False):
        """Loads the page and forgets what earlier ones said and asked for."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + ANSWER_SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.read(deadline, "Page.navigate"))

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def complaints(self):
        """What the page wrote to the console or the browser said of it."""
        return [event["params"] for event in self.events if event["method"] in (
            "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]

    def requests(self):
        """The addresses that the page asked for, itself aside."""
        urls = [event["params"]["request"]["url"] for event in self.events
                if event["method"] == "Network.requestWillBeSent"]
        return urls[1:]

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        image = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip={
            "x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))
