// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/output_options.h"

#include "hici/base/error.h"
#include "hici/base/live_line.h"
#include "hici/base/log.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <system_error>

namespace hici::commands {
namespace {

bool says_yes(const std::string& question) {
  stderr_live_line().erase();
  std::fputs(question.c_str(), stderr);
  std::fflush(stderr);
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "Y" || answer == "yes");
}

}  // namespace

void OverwriteOption::bind(CLI::App& app) {
  add_bool(app, "overwrite", overwrite,
           "Replace output files that are there; False: a terminal is asked, without one it is an error");
}

void OverwriteOption::check(const std::vector<std::filesystem::path>& files) const {
  if (overwrite) return;
  const bool can_ask = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
  for (const std::filesystem::path& file : files) {
    std::error_code ignored;
    if (file.empty() || !std::filesystem::exists(file, ignored)) continue;
    if (can_ask && says_yes(file.string() + " is there already; replace it? [y/N] ")) continue;
    fail(file.string(), ": is there already; give --overwrite True to replace it, or another name");
  }
}

void show_and_write(const std::string& text, const std::function<void()>& write) {
  try {
    write();
  } catch (...) {
    write_stdout(text);
    throw;
  }
  write_stdout(text);
}

}  // namespace hici::commands
