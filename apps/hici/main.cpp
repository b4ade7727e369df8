// SPDX-License-Identifier: Apache-2.0
// The one catch of the program: an error is one line on stderr and an exit code (2 usage, 1 failure).
#include "hici/base/already_said.h"
#include "hici/base/error.h"
#include "hici/base/process_rank.h"
#include "hici/base/quiet.h"
#include "hici/base/signals.h"
#include "hici/commands/command.h"
#include "hici/commands/failure_text.h"
#include "hici/device/host_allocator.h"

#include <csignal>

namespace {

int report(const std::string& program, const std::string& message, int exit_code) {
  hici::write_error_line(program + ": error: " + message);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string program = hici::commands::program_name(argc, argv) + hici::rank_label();
  hici::device::use_host_allocator();  // before the first tensor
  std::signal(SIGXFSZ, SIG_IGN);       // a file beyond `ulimit -f` is an error of write(), which is reported
  try {
    return hici::commands::run_command_line(argc, argv);
  } catch (const hici::AlreadySaid& e) {  // by another process of the run
    return e.exit_code();
  } catch (const hici::Stopped& e) {
    hici::write_error_line(program + ": " + e.what());
    return e.exit_code();
  } catch (const hici::UsageError& e) {
    return report(program, e.what(), 2);
  } catch (const std::exception& e) {
    return report(program, hici::commands::failure_text(e), 1);
  }
}
