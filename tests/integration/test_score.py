# SPDX-License-Identifier: Apache-2.0
"""`hici score` as a user calls it; the judge is an HTTP server of Python that errs in every way a server can."""
import base64
import csv
import http.server
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import threading
import unittest
import urllib.parse

import support
from support import FolderTest, HICI, hici

DATA = pathlib.Path(__file__).resolve().parent.parent / "eval" / "data"
sys.path.insert(0, str(DATA.parent))
import difflib_draws


class LongBenchTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "my-model"
        shutil.copytree(DATA / "longbench", self.model)
        rows = json.loads((DATA / "longbench_scores.json").read_text())
        self.expected = {name: round(100 * sum(scores) / len(scores), 2) for name, scores in rows.items()}

    def test_result_and_tables(self):
        done = self.run_hici("score", "longbench", self.model, "--table", self.folder / "groups.csv")
        result = json.loads((self.model / "result.json").read_text())
        self.assertEqual(result, self.expected)
        self.assertIn("repobench-p", done.stdout)
        rows = list(csv.DictReader((self.folder / "groups.csv").open()))
        self.assertEqual([row["model"] for row in rows], ["my-model"])
        self.assertAlmostEqual(float(rows[0]["code"]), (result["lcc"] + result["repobench-p"]) / 2)
        self.assertAlmostEqual(float(rows[0]["mean of tasks"]), sum(result.values()) / 21)
        self.assertIn("\\begin{tabular}{lrrrrrrrr}", (self.folder / "groups.tex").read_text())

    def test_some_data_sets_of_two_models(self):
        other = self.folder / "other"
        shutil.copytree(self.model, other)
        done = self.run_hici("score", "longbench", self.model, other, "--datasets", "trec,lcc")
        self.assertEqual(json.loads((other / "result.json").read_text()), {name: self.expected[name] for name in ("trec", "lcc")})
        self.assertIn("my-model", done.stdout)

    def test_scores_by_length(self):
        self.run_hici("score", "longbench", "-e", self.model)
        result = json.loads((self.model / "result.json").read_text(), parse_constant=self.fail)  # NaN is no JSON
        self.assertEqual(set(result["trec"]), {"0-4k", "4-8k", "8k+"})
        self.assertIsNone(result["dureader"]["0-4k"])

    def score_one(self, *more, name="lcc", pair=("tide", "diet")):
        """Scores a folder of one row; ("tide", "diet") is 50 by Levenshtein and 25 by difflib. -> (stderr, stdout)"""
        folder = self.folder / "one"
        folder.mkdir(exist_ok=True)
        row = {"pred": pair[0], "answers": [pair[1]], "all_classes": None, "length": 5000}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
        done = self.run_hici("score", "longbench", folder, *more)
        return done.stderr, done.stdout

    def one(self, name="result.json"):
        return json.loads((self.folder / "one" / name).read_text())

    def test_difflib_is_that_of_python_on_drawn_texts(self):
        chance = random.Random(1616)
        pairs = [difflib_draws.draw(chance, 3000 if i % 20 == 0 else 400) for i in range(300)]
        folders = []
        for number, (text, answer) in enumerate(pairs):
            folders.append(self.folder / "drawn" / f"m{number:03}")
            folders[-1].mkdir(parents=True)
            (folders[-1] / "repobench-p.jsonl").write_text(json.dumps({"pred": text, "answers": [answer], "length": 1}) + "\n")
        for begin in range(0, len(folders), 100):
            self.run_hici("score", "longbench", *folders[begin:begin + 100], "--code_ratio", "difflib")
        for folder, pair in zip(folders, pairs):
            self.assertEqual(json.loads((folder / "result.json").read_text()), {"repobench-p": difflib_draws.percent(*pair)}, pair)

    def test_the_ratio_is_named_and_parts_tables(self):
        _, text = self.score_one()
        self.assertEqual(self.one(), {"lcc": 50.0})
        self.assertEqual(self.one("result_settings.json")["code_ratio"], "levenshtein")
        self.assertIn("code compared by levenshtein", text)
        _, text = self.score_one("--code_ratio", "difflib")
        self.assertEqual(self.one(), {"lcc": 25.0})
        self.assertEqual(self.one("result_settings.json")["code_ratio"], "difflib")
        self.assertIn("code compared by difflib", text)
        shutil.copytree(self.folder / "one", self.folder / "two")
        self.run_hici("score", "longbench", self.folder / "two")
        shutil.copytree(self.folder / "two", self.folder / "three")
        (self.folder / "three" / "result_settings.json").unlink()
        self.run_hici("report", *[self.folder / name for name in ("one", "two", "three")], "--output", self.folder / "r.html")
        page = (self.folder / "r.html").read_text()
        for words in ("code compared by difflib", "code compared by levenshtein", "how code is compared"):
            self.assertIn(words, page)
        self.score_one(name="qasper")
        self.assertNotIn("code compared", self.score_one("--datasets", "qasper")[1])
        self.assert_refused(2, [self.model, "--code_ratio", "jaro"], "--code_ratio", "jaro", "levenshtein or difflib")

    def test_a_result_that_came_with_the_predictions_is_compared_and_kept(self):
        self.score_one()
        stored = self.folder / "one" / "result.json"
        stored.write_text('{"lcc": 25.0}')
        err, _ = self.score_one()
        self.assertIn(f"{stored}: lcc 25.00, here 50.00 (25.00 more); --code_ratio difflib gives what it says", err)
        self.assertEqual((self.one(), self.one("result.others.json")), ({"lcc": 50.0}, {"lcc": 25.0}))
        self.assertNotIn("result.others", self.score_one()[0], "ours is replaced as ever")
        self.assertNotIn("result.others", self.score_one("--code_ratio", "difflib")[0])
        stored.write_text('{"lcc": 50.0, "trec": 3}')
        err, _ = self.score_one()
        self.assertIn(f"{stored}: has also trec, not scored here", err)
        self.assertEqual(self.one("result.others-2.json")["trec"], 3)
        stored.write_text('{"lcc": 50}')
        self.assertNotIn("result.others", self.score_one()[0], "equal scores are nothing to keep")

    def test_a_result_that_is_none_is_one_line_and_no_obstacle(self):
        self.score_one()
        stored = self.folder / "one" / "result.json"
        for number, text in enumerate(("", "not JSON", "[]", '{"lcc": "50"}', '{"lcc": {"0-4k": 1}}', "[" * 5000, '{"lcc": \\ud800}')):
            stored.write_text(text)
            err, _ = self.score_one()
            self.assertEqual(err.count("are not compared with those here"), 1, err)
            self.assertEqual(self.one(), {"lcc": 50.0})
        self.assertEqual(len(list((self.folder / "one").glob("result.others*"))), number + 1)
        target = self.folder / "elsewhere.json"
        target.write_text("{}")
        stored.unlink()
        stored.symlink_to(target)
        done = self.run_hici("score", "longbench", self.folder / "one", code=1)
        self.assert_one_error_line(done, "score longbench", "result.json")
        self.assertEqual(target.read_text(), "{}")

    def assert_refused(self, code, arguments, *needles):
        done = hici("score", "longbench", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assert_one_error_line(done, "score longbench", *needles)
        self.assertFalse((self.model / "result.json").exists())

    def test_bad_input(self):
        self.assert_refused(2, [], "no folder")
        self.assert_refused(2, [self.model, self.model], "given twice")
        self.assert_refused(2, [self.model, "--datasets", "trek"], "--datasets: 'trek' is no data set", "narrativeqa, qasper")
        self.assert_refused(2, [self.model, "--table", "x.txt"], "--table")
        self.assert_refused(1, [self.folder / "none"], "is no directory")
        with open(self.model / "trec.jsonl", "a") as file:
            file.write('{"pred": "a", "answers": ["b"], "length": 3}\n')
        self.assert_refused(1, [self.model], self.model / "trec.jsonl", "line 13", "all_classes")
        (self.model / "trec.jsonl").write_text("")
        self.assert_refused(1, [self.model], "trec.jsonl: is empty")
        (self.model / "trec.jsonl").rename(self.model / "track.jsonl")
        self.assert_refused(1, [self.model], "'track' is no data set of LongBench")


class Judge(http.server.BaseHTTPRequestHandler):
    """Says 1 when topic and answer share their last word. `script` has what to do instead, request by request."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][0]["content"]
        topic, answer = (part.split(": ", 1)[1] for part in question.split("\n\n")[1:3])
        self.server.requests.append((self.path, self.headers.get("Authorization"), body["model"]))
        action = self.server.script.pop(0) if self.server.script else self.server.default
        if isinstance(action, int):
            return self.send(action, {"error": {"message": "out of\nservice"}}, {"Retry-After": "0"})
        if callable(action):
            return action(self)
        verdict = "1" if answer.rstrip(".'\" ").lower().endswith(topic.split()[-1].lower()) else "0"
        self.send(200, {"choices": [{"message": {"role": "assistant", "content": action or verdict}}]})

    def send(self, status, value, headers=None):
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class TopicsTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "a-model" / "5_response.txt"
        self.file.parent.mkdir()
        shutil.copy(DATA / "longeval" / "topics" / "longchat-7b-16k" / "25_response.txt", self.file)
        self.cache = pathlib.Path(f"{self.file}.judge.jsonl")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
        self.server.script, self.server.default, self.server.requests = [], None, []
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def judge(self, *more, code=0, key="secret-key", url=None):
        environment = {**support.ENVIRONMENT, "OPENAI_API_KEY": key, "no_proxy": "127.0.0.1"}
        done = subprocess.run([HICI, "score", "topics", str(self.file.parent), "--judge", "openai", "--judge_url", url or self.url,
                               "--judge_model", "judge-1", "--judge_backoff", "0.01", *more], env=environment, text=True,
                              capture_output=True, timeout=support.TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertNotIn("secret-key", done.stdout + done.stderr)
        return done

    def num_verdicts(self):
        return len(self.cache.read_text().splitlines()) if self.cache.exists() else 0

    def test_by_rule(self):
        done = self.run_hici("score", "topics", DATA / "longeval" / "topics", "--output", self.folder / "scores.json")
        expected = json.loads((DATA / "longeval" / "scores.json").read_text())
        self.assertEqual(json.loads((self.folder / "scores.json").read_text()), expected["topics"])
        for counts in (counts for files in expected["topics"].values() for counts in files.values()):
            self.assertIn("{}/{}".format(*counts), done.stdout)

    def test_lines(self):
        self.run_hici("score", "lines", DATA / "longeval" / "lines", "--output", self.folder / "scores.json")
        expected = json.loads((DATA / "longeval" / "scores.json").read_text())
        self.assertEqual(json.loads((self.folder / "scores.json").read_text()), expected["lines"])

    def test_verdicts_are_asked_for_once(self):
        done = self.judge("--output", str(self.folder / "scores.json"))
        answers = self.file.read_text().splitlines()
        different = len({line.rsplit(", prompt length", 1)[0] for line in answers})
        self.assertEqual(len(self.server.requests), different)
        self.assertEqual(set(self.server.requests), {("/v1/chat/completions", "Bearer secret-key", "judge-1")})
        result = json.loads((self.folder / "scores.json").read_text())
        correct, judged, missing = result["by_judge"]["a-model"]["5_response.txt"]
        self.assertEqual((judged, missing), (50, 0))
        self.assertGreaterEqual(correct, 30)  # all that the rule finds end as their topics do
        self.assertIn(f"{correct}/50", done.stdout)
        self.server.requests.clear()
        self.assertEqual(self.judge().stdout, done.stdout)
        self.assertEqual(self.server.requests, [])
        self.judge(key="")
        self.assertNotIn("secret", self.cache.read_text())

    def test_errors_that_pass_and_nonsense_are_asked_again(self):
        self.server.script = [429, 500, "well...", 503, None, "1.", 429]
        done = self.judge()
        self.assertIn("50", done.stdout)
        self.assertEqual(len(self.server.requests), self.num_verdicts() + 5)

    def test_a_missing_verdict_is_said(self):
        self.server.script = ["as a language model I"] * 3
        done = self.judge("--judge_retries", "2", code=1)
        self.assertIn("1 verdicts are missing", done.stderr)
        self.assertRegex(done.stdout, r"/49 +0\.\d+ +1\n")

    def test_a_server_that_goes_down_costs_nothing_that_was_judged(self):
        self.server.script, self.server.default = [None] * 7, 500
        done = self.judge("--judge_retries", "1", code=1)
        self.assertEqual(self.num_verdicts(), 7)
        self.assertIn("status 500", done.stderr)
        self.assertEqual(len(self.server.requests), 7 + 3 * 2)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        done = self.judge("--judge_retries", "0", code=1, url=nobody)
        self.assertIn("no answer", done.stderr)
        self.assertEqual(self.num_verdicts(), 7)
        with open(self.cache, "a") as file:
            file.write('{"model": "judge-1", "lab')  # as a crash leaves it
        self.server.default = None
        self.assertRegex(self.judge().stdout, r"/50 +0\.\d+ +0\n")

    def test_a_refused_key_ends_it_at_once(self):
        self.server.default = 401
        shutil.copy(self.file, self.file.parent / "10_response.txt")
        done = self.judge(code=1)
        self.assertEqual(len(self.server.requests), 1, "nor is anything asked about the other file")
        self.assertIn("OPENAI_API_KEY", done.stderr)

    def judge_at_an_address_with_secrets(self, default, key=""):
        """The judge says nothing of them, whatever the server sends; also not in what it leaves in files."""
        self.server.default = default
        self.server.requests.clear()
        done = self.judge("--judge_retries", "0", "--output", str(self.folder / "scores.json"), code=1, key=key,
                          url=self.url.replace("://", "://an-user:pass%2Fword@") + "?key=query%20value")
        kept = "".join(file.read_text() for file in self.folder.rglob("*") if file.is_file())
        for secret in ("pass/word", "pass%2Fword", "pass\\/word", "YW4tdXNlcjpwYXNz", "query value", "query%20value",
                       "query+value", "cXVlcnk", "secret-key", "secret%2Dkey"):
            self.assertNotIn(secret, done.stdout + done.stderr + kept)
        self.assertTrue(all(" " <= c <= "~" or c == "\n" for c in done.stderr), ascii(done.stderr))
        return done

    def test_secrets_of_the_address_reach_the_server_and_nobody_else(self):
        def echo(status, form):
            def answer(handler):
                seen = f"{handler.headers['Authorization']} {handler.path} {urllib.parse.unquote(handler.path)} an-user:pass/word " + \
                    base64.b64encode(b"an-user:pass/word").decode()
                handler.send(status, form(f"{seen} {urllib.parse.quote(seen)} \x1b[31m\u202eodd"))
            return answer
        for form in (str, lambda text: {"error": text}, lambda text: '{"choices": ' + text, lambda text: {"choices": text}):
            for status in (200, 401):
                done = self.judge_at_an_address_with_secrets(echo(status, form))
                self.assertIn(f"--judge: http://***@127.0.0.1:{self.server.server_port}/v1/chat/completions?***: ", done.stderr)
        self.assertEqual(self.server.requests[0][:2], ("/v1/chat/completions?key=query%20value",
                                                       "Basic " + base64.b64encode(b"an-user:pass%2Fword").decode()))
        self.judge_at_an_address_with_secrets(echo(403, str), key="secret-key")

    def test_a_key_in_the_path_and_its_other_forms_are_not_shown(self):
        key, path_key = "secret-key", "9f86d081884c7d659a2feaa0c55ad015"
        forms = [form(secret.encode()) for secret in (key, "Bearer " + key, path_key) for form in (
            lambda text: base64.b64encode(text).decode(), lambda text: text.hex(), lambda text: text[::-1].decode(),
            lambda text: "".join(f"%{byte:02X}" for byte in text))]
        for status in (200, 500):
            self.server.default = lambda handler: handler.send(status, {"error": " ".join([handler.path, *forms])})
            self.server.requests.clear()
            done = self.judge("--judge_retries", "0", "--output", str(self.folder / "scores.json"), code=1,
                              url=self.url.replace("/v1", f"/{key}/{path_key}/v1"))
            self.assertEqual(self.server.requests[0][0], f"/{key}/{path_key}/v1/chat/completions")
            self.assertIn(f"--judge: http://127.0.0.1:{self.server.server_port}/***/***/v1/chat/completions: ", done.stderr)
            kept = "".join(file.read_text() for file in self.folder.rglob("*") if file.is_file())
            for secret in (key, path_key, *(form for form in forms if not form.startswith("QmVhcmVy"))):
                self.assertNotIn(secret, done.stdout + done.stderr + kept)
            self.assertNotIn(base64.b64encode(("Bearer " + key).encode()).decode(), done.stdout + done.stderr + kept)

    def test_a_redirect_is_not_followed(self):
        other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
        other.script, other.default, other.requests = [], None, []
        threading.Thread(target=other.serve_forever, daemon=True).start()
        self.addCleanup(other.server_close)
        self.addCleanup(other.shutdown)
        for status in (301, 302, 303, 307, 308):
            def answer(handler, status=status):
                handler.send(status, "moved", {"Location": f"http://127.0.0.1:{other.server_port}{handler.path}"})
            done = self.judge_at_an_address_with_secrets(answer)
            self.assertIn(f"status {status} (moved); it sends elsewhere", done.stderr)
            self.assertEqual(len(self.server.requests), 1)
        self.assertEqual(other.requests, [])

    def test_an_address_of_no_use_is_shown_without_its_secrets(self):
        done = self.judge(code=2, url="htp://an-user:pass-word@127.0.0.1/v1?key=query-value")
        self.assert_one_error_line(done, "score topics", "--judge_url: 'htp://***@127.0.0.1/v1?***' begins with neither http://")
        done = self.judge("--judge_retries", "0", code=1, url="http://an-user:pass-word@[::/v1?key=query-value")
        self.assertNotIn("pass-word", done.stderr)
        self.assertNotIn("query-value", done.stderr)

    def test_bad_options_and_files(self):
        def refused(code, *arguments):
            done = hici("score", "topics", *arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            return done.stderr
        self.assertIn("--judge_rate: has no effect without --judge", refused(2, self.file, "--judge_rate", 5))
        self.assertIn("--judge: unknown judge 'x'", refused(2, self.file, "--judge", "x"))
        self.assertIn("--judge_model: must be given", refused(2, self.file, "--judge", "openai"))
        self.assertIn("given twice", refused(2, self.file, self.file.parent))
        self.file.write_text(self.file.read_text() + "Label: x\n")
        self.assertIn("5_response.txt: line 51: has no 'Predict: '", refused(1, self.file))
        self.file.write_text("")
        self.assertIn("5_response.txt: holds no answer", refused(1, self.file))


if __name__ == "__main__":
    unittest.main()
