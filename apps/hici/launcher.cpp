// SPDX-License-Identifier: Apache-2.0
// bin/hici: answers what needs no LibTorch, sets what LibTorch's libraries read when they are loaded, and becomes the
// real program, bin/hici-main beside it.
//
// Loading LibTorch takes some 0.4 s, which is too much for a help text, and its OpenMP reads its environment before
// main() begins. exec keeps process, signals, exit code and arguments.
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace {

// What hici-main prints for "hici WORDS --help"; "--version" for that.
struct Answer {
  std::string_view words;
  std::string_view text;
};
constexpr Answer kAnswers[] = {
#include "help_texts.inc"
};

bool asks_for_help(std::string_view word) { return word == "--help" || word == "-h"; }

// nullptr where the words ask for work, or in another way: the real program knows all of them.
const Answer* find_answer(char** begin, char** end) {
  std::string words;
  if (begin != end && std::string_view(*begin) == "help") {
    ++begin;
  } else if (begin != end && asks_for_help(end[-1])) {
    --end;
  } else if (begin + 1 == end && (*begin == std::string_view("-V") || *begin == std::string_view("--version"))) {
    words = "--version";
    begin = end;
  } else if (begin != end) {
    return nullptr;
  }
  for (; begin != end; ++begin) {
    if (!words.empty()) words += ' ';
    words += *begin;
  }
  const auto* const found = std::find_if(std::begin(kAnswers), std::end(kAnswers),
                                         [&](const Answer& answer) { return answer.words == words; });
  return found == std::end(kAnswers) ? nullptr : found;
}

int print(std::string_view text) {
  const bool is_whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!is_whole) std::fputs("hici: error: stdout: cannot write; is the disk full or the pipe closed?\n", stderr);
  return is_whole ? 0 : 1;
}

// Idle threads of OpenMP spin for milliseconds by default, and on a machine that is shared take the processor from
// those that work; this is some microseconds (docs/performance-results.md). Whoever has set one of these has chosen.
void let_idle_threads_sleep() {
  constexpr std::array kChoices{"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"};
  const bool is_chosen = std::any_of(kChoices.begin(), kChoices.end(), [](const char* n) { return std::getenv(n); });
  if (!is_chosen) setenv("GOMP_SPINCOUNT", "1000", 1);
}

// Returns only where that is impossible.
int become_program(char** argv) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string program = (self.parent_path() / "hici-main").string();
  execv(program.c_str(), argv);
  std::fprintf(stderr, "hici: error: %s: cannot be started: %s; it belongs beside %s\n", program.c_str(),
               std::strerror(errno), self.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  char** const first = argv + std::min(argc, 1);
  if (const Answer* answer = find_answer(first, argv + argc)) return print(answer->text);
  let_idle_threads_sleep();
  return become_program(argv);
}
