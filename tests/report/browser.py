"""A page as a browser shows it: headless Chromium runs a script in a copy of it and says what it saw."""

import json
import re
import shutil
import subprocess
from html import unescape

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

WATCH = """<script>
const complaints = [];
addEventListener("error", (event) => complaints.push(event.message || event.target.nodeName), true);
addEventListener("securitypolicyviolation", (event) => complaints.push(event.violatedDirective));
for (const name of ["error", "warn"]) console[name] = (...said) => complaints.push(said.join(" "));
</script>"""
ASK = """<script>
addEventListener("load", async () => {
  const later = (ms) => new Promise((done) => setTimeout(done, ms));
  const seen = {};
  try { %s } catch (error) { complaints.push(String(error)); }
  seen.complaints = complaints;
  const fetched = performance.getEntriesByType("resource").map((one) => one.name);
  seen.requests = fetched.filter((one) => !one.startsWith("data:"));
  parent.postMessage(JSON.stringify(seen), "*");
});
</script>"""
# In a frame of its own: a window of Chromium's is never narrower than 500.
HOST = """<!doctype html><iframe src="{source}" style="border:0; width:{width}px; height:900px"></iframe>
<script>
addEventListener("message", (event) => document.documentElement.setAttribute("data-seen", event.data));
</script>"""


def seen_in(page, script, *, folder, width=1280, flags=()):
    """What ``script`` put into ``seen``, in a window of that width."""
    html = page.read_text(encoding="utf-8")
    assert "<head>" in html and "</body>" in html
    copy, host = folder / "copy.html", folder / "host.html"
    copy.write_text(
        html.replace("<head>", "<head>" + WATCH, 1).replace("</body>", ASK % script + "</body>", 1)
    )
    host.write_text(HOST.format(source=copy.as_uri(), width=width))
    command = [
        *(
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ),
        *(f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000", "--virtual-time-budget=8000"),
        *(*flags, "--dump-dom", host.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search('data-seen="([^"]*)"', done.stdout)
    assert found, f"The page never finished: {done.stderr[-2000:]}"
    return json.loads(unescape(found[1]))
