# SPDX-License-Identifier: Apache-2.0
"""The page of `hici report` in a headless Chromium, as phones and desks show it, light and dark: browser_test.py HICI"""
import os
import pathlib
import subprocess
import sys
import tempfile

from chromium import Chromium
from sample_runs import LONGEVAL, write_everything

HICI = sys.argv[1]
CHECKS = (pathlib.Path(__file__).parent / "page_checks.js").read_text()
SECTIONS = ["H2 Perplexity by context", "H2 Passkey retrieval", "H2 Retrieval of topics and lines", "H2 LongBench",
            "H2 Where attention goes", "H2 Training"]
LABEL = "HiCI-8B-with-a-name-that-is-longer-than-a-telephone-is-wide/checkpoint-1000 <script>alert(1)</script>"
TEXT_CONTRAST = 4.5  # WCAG 2, level AA
TEXT_SIZE_PX = 10.5

# Everything that the page must not be, to see that each check can fail.
BROKEN = """<!DOCTYPE html><title>b</title><link rel="stylesheet" href="http://example.invalid/a.css">
<h1>b</h1><p style="color:#999;background:#888">pale</p><p style="font-size:6px">small</p>
<div style="width:2000px">wide</div>
<svg width="60" height="20"><text x="0" y="15">cut at the right</text><text class="series" y="15">on it</text><text
class="series" y="15">on it</text></svg><a href="#nowhere">dead</a><script>undefined_name()</script>"""


def faults(browser, url, width, scheme):
    browser.open(url, width, scheme=scheme)
    seen = browser.evaluate(CHECKS)
    found = {}

    def expect(name, is_right, value):
        if not is_right:
            found[name] = value

    expect("sideways", seen["width"] == width and seen["scrollWidth"] <= width, (seen["width"], seen["scrollWidth"]))
    expect("scheme", seen["isDark"] == (scheme == "dark"), seen["isDark"])
    expect("contrast", seen["lowestContrast"]["contrast"] >= TEXT_CONTRAST, seen["lowestContrast"])
    expect("size", seen["smallestText"]["size"] >= TEXT_SIZE_PX, seen["smallestText"])
    expect("requests", browser.requests() == [url] and not seen["resources"], browser.requests())
    expect("loaders", seen["loaders"] == 0, seen["loaders"])
    expect("console", browser.complaints() == [], browser.complaints())
    expect("clipped", seen["clipped"] == [], seen["clipped"])
    expect("overlaps", seen["overlaps"] == [], seen["overlaps"])
    expect("links", seen["deadLinks"] == [], seen["deadLinks"])
    return found, seen


def check_structure(seen, width):
    assert seen["headings"][1:] == SECTIONS, seen["headings"]
    assert seen["texts"] > 300, seen["texts"]
    assert len(seen["figures"]) >= 7 and len(seen["tables"]) >= 9, (len(seen["figures"]), len(seen["tables"]))
    for figure in seen["figures"]:
        assert len(figure["drawings"]) == 1, (figure, "one drawing of each figure is shown, for wide or narrow windows")
        assert figure["drawings"][0]["name"] and figure["drawings"][0]["right"] <= width, figure
        assert figure["caption"].startswith("Figure "), figure
    for table in seen["tables"]:
        assert table["caption"].startswith("Table ") and table["unscoped"] == 0 and table["box"] == 0, table


with tempfile.TemporaryDirectory() as folder, Chromium() as browser:
    root = pathlib.Path(folder)
    write_everything(root / "runs", LABEL)
    page = root / "report.html"
    done = subprocess.run([HICI, "report", root / "runs", LONGEVAL, "--output", page], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            found, seen = faults(browser, page.as_uri(), width, scheme)
            assert not found, (width, scheme, found)
            check_structure(seen, width)
            if "HICI_SCREENSHOTS" in os.environ:  # a folder, for people
                browser.screenshot(pathlib.Path(os.environ["HICI_SCREENSHOTS"]) / f"report-{width}-{scheme}.png")
    broken = root / "broken.html"
    broken.write_text(BROKEN)
    found, _ = faults(browser, broken.as_uri(), 360, "dark")
    missed = {"sideways", "scheme", "contrast", "size", "requests", "loaders", "console", "links", "clipped",
              "overlaps"} - set(found)
    assert not missed, missed
    print("6 sections,", len(seen["figures"]), "figures,", len(seen["tables"]), "tables,", seen["texts"], "texts")
