# SPDX-License-Identifier: Apache-2.0
"""`hici report` as a user calls it; the page goes through Python's XML parser: report_command_test.py HICI"""
import csv
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HICI = sys.argv[1]


def hici(*arguments):
    return subprocess.run([HICI, "report", *map(str, arguments)], capture_output=True, text=True)


def write_run(directory, steps, hostile):
    directory.mkdir(parents=True)
    with open(directory / "metrics.jsonl", "w") as lines:
        for step in range(1, steps + 1):
            loss = None if step == 7 else 2 + math.exp(-step / 50)
            lines.write(json.dumps({"step": step, "loss": loss, "learning_rate": 1e-3, "hici_learning_rate": 2e-3,
                                    "tokens_per_second": 1e4, "tokens": step * 512, "seconds": step}) + "\n")
        lines.write('{"step": 999, "lo')
    for context in (256, 512):
        result = {"command": "eval ppl", "label": hostile, "attention": "hici", "seq_len": context,
                  "perplexity": 4 + context / 1000, "accuracy": 0.5}
        (directory / f"ppl-{context}.json").write_text(json.dumps(result))


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    hostile = "</td><script src='http://x/y'>\u00e9 & \u001b[2J"
    write_run(root / "run", 1500, hostile)
    write_run(root / "runs & <more>", 30, "plain")
    output = root / "out.html"
    done = hici(root / "run", root / "runs & <more>", "--output", output, "--title", "T <1>")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr

    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>\n")
    tree = xml.etree.ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert tree.find(".//title").text == "T <1>"
    assert [tag for tag in ("script", "link", "img", "iframe", "object") if tree.find(f".//{tag}") is not None] == []
    assert "url(" not in page and "@import" not in page
    assert not any(name in ("src", "href") or name.startswith("on") for node in tree.iter() for name in node.attrib)
    assert len(tree.findall(".//figure")) == 4 and len(tree.findall(".//table")) == 2
    first_column = [row.find("th").text for row in tree.findall(".//table")[0].findall("./tbody/tr")]
    assert first_column == [hostile.replace("\u001b", "?"), "plain"], first_column
    assert len(page) < 400_000, len(page)

    rows = list(csv.reader((root / "out.csv").open(encoding="utf-8")))
    assert rows[0] == ["model", "attention", "256", "512"] and rows[2] == ["plain", "HiCI", "4.256", repr(4 + 512 / 1000)], rows
    assert "4.26" in done.stdout and "\\begin{tabular}{llrr}" in (root / "out.tex").read_text(encoding="utf-8")
    again = output.read_bytes()
    assert hici(root / "run", root / "runs & <more>", "--output", output, "--title", "T <1>").returncode == 0
    assert output.read_bytes() == again, "the same files give the same page"

    for arguments, code, part in (
        ([], 2, "no run directory given"),
        ([root / "nothing"], 1, "nothing: no such file or directory"),
        ([root / "run", "--output", root / "page.txt"], 2, "does not end in .html"),
        ([root / "run", "--output", root / "no" / "page.html"], 1, "no/page"),
        ([root / "run", "--titel", "x"], 2, "did you mean --title?"),
    ):
        refused = hici(*arguments)
        assert refused.returncode == code and part in refused.stderr, (arguments, refused)
        assert refused.stderr.strip().count("\n") == 0, refused.stderr
    print("the page has", len(page), "bytes")
