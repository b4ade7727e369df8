# SPDX-License-Identifier: Apache-2.0
"""`hici report` as a user calls it; the page goes through Python's XML parser: report_command_test.py HICI"""
import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

from sample_runs import CONTEXTS, LONGEVAL, labels_sha256, write_everything

HICI = sys.argv[1]


def hici(*arguments):
    return subprocess.run([HICI, "report", *map(str, arguments)], capture_output=True, text=True)


def read_csv(path):
    return list(csv.reader(path.open(encoding="utf-8", newline="")))


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    hostile = "=</td><script src='http://x/y'>\u00e9 & \u001b[2J"
    write_everything(root / "runs", hostile)
    (root / "runs" / "torn.json").write_text('{"command": "eval ppl", ')
    (root / "runs" / "odd" / "m").mkdir(parents=True)
    (root / "runs" / "odd" / "m" / "5_response.txt").write_text("Label: \x1b[2J")
    output = root / "out.html"
    sources = (root / "runs", LONGEVAL)
    done = hici(*sources, "--output", output, "--title", "T <1>")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr

    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>\n")
    tree = xml.etree.ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert tree.find(".//title").text == "T <1>"
    assert [tag for tag in ("script", "link", "img", "iframe", "object") if tree.find(f".//{tag}") is not None] == []
    assert "url(" not in page and "@import" not in page
    assert not any(name == "src" or name.startswith("on") for node in tree.iter() for name in node.attrib)
    assert all(node.get("href", "#").startswith("#") for node in tree.iter())
    assert len(tree.findall(".//figure")) == 9 and len(tree.findall(".//table")) == 11
    first_column = ["".join(row.find("th").itertext()) for row in tree.findall(".//table")[0].findall("./tbody/tr")]
    assert first_column == [hostile.replace("\u001b", "?"), "Llama-2-7b"], first_column
    assert len(page) < 400_000, len(page)
    assert "torn.json" in done.stderr and "odd/m/5_response.txt: line 1" in done.stderr, done.stderr

    perplexities = read_csv(root / "out.perplexity-pg19.csv")
    assert perplexities[0] == ["model", "attention", "conditions", *map(str, CONTEXTS)], perplexities
    assert perplexities[2] == ["Llama-2-7b", "full", "pg19.bin, a window every 256 tokens", *(repr(4 + context / 1000).removesuffix(".0") for context in CONTEXTS)]
    expected = json.loads((LONGEVAL / "scores.json").read_text())
    for task, models in expected.items():
        header, *rows = read_csv(root / f"out.{task}.csv")
        for model, files in models.items():
            shares = [files[f"{number}_response.txt"] for number in header[1:]]
            row = next(row for row in rows if row[0] == model)
            assert [float(value) for value in row[1:]] == [correct / answers for correct, answers in shares], row
    counts = read_csv(root / "out.retrieval-counts.csv")
    assert ["topics", "judged-model", "gpt-4o-mini", "10", labels_sha256(LONGEVAL / "topics" / "longchat-7b-16k" / "10_response.txt")[:8], "39", "49"] in counts, counts
    names = ("perplexity-pg19 perplexity-proof-pile passkey passkey-depth topics topics-judged lines "
             "retrieval-counts longbench longbench-datasets "
             "longbench-e attention attention-layers").split()
    assert sorted(file.name for file in root.glob("out.*")) == sorted(
        ["out.html", *(f"out.{name}.{kind}" for name in names for kind in ("csv", "tex"))])
    for name in names:
        rows = read_csv(root / f"out.{name}.csv")
        latex = (root / f"out.{name}.tex").read_text(encoding="utf-8")
        assert len(rows) > 1 and {len(row) for row in rows} == {len(rows[0])}, name
        body = [line for line in latex.splitlines() if line.endswith(" \\\\")]
        assert len(body) == len(rows) and "\\toprule" in latex, (name, latex)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(rows[0]) - 1 - rows[0].count("conditions")}, (name, latex)
    assert "Perplexity by evaluation context" in done.stdout and "judged-model" in done.stdout, done.stdout
    again = output.read_bytes()
    assert hici(*sources, "--output", output, "--title", "T <1>").returncode == 0
    assert output.read_bytes() == again, "the same files give the same page"

    assert f"wrote {root / 'out.passkey.csv'} and {root / 'out.passkey.tex'}" in done.stderr, done.stderr
    (root / "out.mine.tex").write_text("no table of ours")
    later = hici(root / "runs" / "run", "--output", output)
    assert f"{root / 'out.passkey.tex'}: is of an earlier report" in later.stderr, later.stderr
    assert "out.mine.tex" not in later.stderr and (root / "out.passkey.tex").exists(), later.stderr

    (root / "runs" / "odd" / "m" / "5_response.txt").unlink()
    torn = (root / "runs" / "torn.json").rename(root / "torn.json")
    for arguments, code, part in (
        ([], 2, "no run directory given"),
        ([torn], 1, "torn.json"),
        ([root / "nothing"], 1, "nothing: no such file or directory"),
        ([root / "runs", "--output", root / "page.txt"], 2, "does not end in .html"),
        ([root / "runs", "--output", torn / "page.html"], 1, "torn.json"),
        ([root / "runs", "--titel", "x"], 2, "did you mean --title?"),
    ):
        refused = hici(*arguments)
        assert refused.returncode == code and part in refused.stderr, (arguments, refused)
        assert refused.stderr.strip().count("\n") == 0, refused.stderr
    print("the page has", len(page), "bytes")
