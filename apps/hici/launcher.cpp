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
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

namespace {

namespace fs = std::filesystem;

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

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text.append(part);
  return text;
}

// The first line of a file; empty where there is none.
std::string first_line(const fs::path& path) {
  std::string line;
  std::getline(std::ifstream(path), line);
  return line;
}

// "2.11.0+cu130" of torch/version.py.
std::string torch_version(const fs::path& torch) {
  constexpr std::string_view kBegin = "__version__ = '";
  std::ifstream file(torch / "version.py");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(kBegin)) return line.substr(kBegin.size(), line.find('\'', kBegin.size()) - kBegin.size());
  return "";
}

bool is_torch(const fs::path& folder) { return fs::exists(folder / "lib" / "libtorch_cpu.so"); }

// The torch that a packaged program runs on: the user's word; beside this package among the packages of a Python; that
// of the virtual environment, or prefix, that the program was unpacked into. Empty: none.
fs::path find_torch(const fs::path& here) {
  if (const char* torch = std::getenv("HICI_TORCH")) return torch;
  const fs::path beside = here.parent_path().parent_path() / "torch";
  if (fs::exists(beside)) return beside;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(here.parent_path(), problem)) {
    if (!entry.path().filename().string().starts_with("python3")) continue;
    const fs::path torch = entry.path() / "site-packages" / "torch";
    if (fs::exists(torch)) return torch;
  }
  return {};
}

// Why this program, which is for `release` of torch ("2.11"), cannot run on that torch; empty: it can.
std::string problem_of(const fs::path& torch, const std::string& release) {
  const std::string way_out = joined({": pip install 'torch==", release, ".*'"});
  if (torch.empty())
    return joined(
        {"needs torch ", release, ", and none is installed beside it", way_out, ", or set HICI_TORCH to its folder"});
  const std::string version = torch_version(torch), place = torch.string();
  if (version.empty() || !is_torch(torch)) return joined({place, ": is no whole torch", way_out});
  if (version.starts_with(joined({release, "."}))) return "";
  const std::string other = version.substr(0, version.find('.', version.find('.') + 1));
  return joined({place, ": torch ", version, ", and this hici is for ", release, way_out,
                 ", or install the hici whose version ends with +torch", other});
}

// Where the loader finds LibTorch, and the libraries of other packages that the CUDA plug-in names.
void set_library_path(const fs::path& torch) {
  std::string path = (torch / "lib").string();
  const fs::path packages = torch.parent_path();
  for (const char* folder : {"nvidia/cu13/lib", "nvidia/cudnn/lib"}) path.append(":").append(packages / folder);
  const char* const before = std::getenv("LD_LIBRARY_PATH");
  if (before != nullptr && *before != '\0') path.append(":").append(before);
  setenv("LD_LIBRARY_PATH", path.c_str(), 1);
}

// A build finds LibTorch by itself. One that was packaged (cmake/HiciInstall.cmake) has the release of torch that it
// needs in a file beside it.
bool find_libraries(const fs::path& here) {
  const std::string release = first_line(here / "needs-torch");
  if (release.empty()) return true;
  const fs::path torch = find_torch(here);
  const std::string problem = problem_of(torch, release);
  if (!problem.empty()) {
    std::fprintf(stderr, "hici: error: %s\n", problem.c_str());
    return false;
  }
  set_library_path(torch);
  return true;
}

// Returns only where that is impossible.
int become_program(char** argv) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!find_libraries(self.parent_path())) return 1;
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
