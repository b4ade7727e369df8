# SPDX-License-Identifier: Apache-2.0
"""What a shell completes with the script that hici prints for it, and the manual page as man's own programs read it."""
import shutil
import subprocess
import unittest

from support import FolderTest, hici

# Completes the words, the last of which is what is typed, and prints one candidate a line.
BASH = r"""
source "$1"; shift
complete -p hici | grep -q -- '-F _hici hici' || exit 9
COMP_WORDS=(hici "$@") COMP_CWORD=$#
_hici hici "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
# The builtins of zsh's completion work only while a line is edited; these stand for them.
ZSH = r"""
emulate zsh
compdef() { registered=$2 }
compset() { }
_files() { [[ $1 == -/ ]] && print -l -- *(N/) || print -l -- *(N) }
compadd() { shift $argv[(i)--]; print -l -- $@ | grep -- "^${words[CURRENT]##*=}" }
source $1; shift
[[ $registered == hici ]] || exit 9
words=(hici "$@") CURRENT=$(($# + 1))
_hici
"""


class ShellTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.script = self.folder / "completion"
        self.script.write_text(hici("--completion", self.shell).stdout)
        self.place = self.folder / "place"
        (self.place / "runs dir").mkdir(parents=True)
        (self.place / "run.ini").write_text("")

    def complete(self, *words):
        done = subprocess.run([*self.program, self.script, *words], cwd=self.place, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
        self.assertEqual(done.stderr, "")
        return [line for line in done.stdout.splitlines() if line]



class SharedTests:
    def test_commands(self):
        self.assertEqual(self.complete("tr"), ["train", "train-tokenizer"])
        self.assertEqual(self.complete("qui"), ["quickstart"])
        self.assertEqual(self.complete("eval", "p"), ["ppl", "passkey"])
        self.assertEqual(sorted(self.complete("help", "score", "l")), ["lines", "longbench"])
        self.assertIn("--version", self.complete("--"))
        self.assertEqual(self.complete("help", "dev"), ["devices"])
        self.assertEqual(self.complete("help", "train", ""), [])
        self.assertEqual(self.complete("--completion", ""), ["bash", "zsh"])

    def test_options(self):
        self.assertEqual(self.complete("train", "--num_l"), ["--num_local_slots"])
        self.assertEqual(self.complete("train_tokenizer", "--vocab"), ["--vocab_size"])
        self.assertEqual(self.complete("eval", "ppl", "--eval"), ["--eval_mode"])
        options = self.complete("train", "")
        self.assertEqual(options, self.complete("train", "--bf16", "True", "--"))
        self.assertIn("--learning_rate", options)
        self.assertNotIn("--report_to", options)  # of other programs
        self.assertNotIn("--eval_mode", options)

    def test_values(self):
        self.assertEqual(self.complete("train", "--attention", ""), ["hici", "full", "s2"])
        self.assertEqual(self.complete("train", "--attention", "f"), ["full"])
        self.assertEqual(self.complete("generate", "--attention", ""), ["full", "hici", "dca"])
        self.assertEqual(self.complete("eval", "ppl", "--eval-mode", "full"), ["full", "full_hierarchical"])
        self.assertEqual(self.complete("train", "--bf16", "T"), ["True"])
        self.assertEqual(self.complete("train", "--seed", ""), [])
        self.assertEqual(self.complete(*self.typed("train", "--causal_mode", "=", "causal_s")),
                         ["causal_shift", "causal_shift_g"])
        self.assertEqual(self.complete(*self.typed("train", "--attention", "=")), ["hici", "full", "s2"])

    def test_files(self):
        self.assertEqual(sorted(self.complete("train", "--config", "")), ["run.ini", "runs dir"])
        self.assertEqual(self.complete("train", "--output_dir", ""), ["runs dir"])
        self.assertEqual(sorted(self.complete("generate", "--", "")), ["run.ini", "runs dir"])


class BashTest(SharedTests, ShellTest):
    shell, program = "bash", ["bash", "--norc", "-c", BASH, "bash"]

    def typed(self, *words):
        """bash takes --name=value for three words."""
        return words

    def test_dashes_in_names(self):
        self.assertEqual(self.complete("train", "--num-l"), ["--num_local_slots"])

    def test_every_command_completes_its_options(self):
        for line in hici("--help").stdout.partition("Commands:\n")[2].partition("\n\n")[0].splitlines():
            if line.startswith("  ") and line[2] != " ":
                command = line[2:30].split("  ")[0].split()
                self.assertIn("--config", self.complete(*command, "--c"), command)


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
class ZshTest(SharedTests, ShellTest):
    shell, program = "zsh", ["zsh", "-f", "-c", ZSH, "zsh"]

    def typed(self, *words):
        at = words.index("=")
        return (*words[:at - 1], "".join(words[at - 1:]))


class ManPageTest(unittest.TestCase):
    page = property(lambda self: hici("--man").stdout)

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_groff_has_nothing_to_warn_of(self):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=self.page, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    @unittest.skipUnless(shutil.which("groff"), "groff is not installed")
    def test_it_shows_what_help_says(self):
        shown = subprocess.run(["groff", "-man", "-Tascii", "-P-c", "-P-b", "-P-u", "-P-o"], input=self.page, text=True,
                               stdout=subprocess.PIPE, timeout=60).stdout
        words = " ".join(shown.split())
        self.assertIn("hici inspect PATH [OPTIONS]", words)
        self.assertIn("--model_name_or_path TEXT", words)
        for line in hici("help", "quickstart").stdout.splitlines():
            if line.startswith("  --"):
                self.assertIn(line.split()[0], words)


if __name__ == "__main__":
    unittest.main()
