// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/failure_text.h"

#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/parse_number.h"

#include <c10/util/Exception.h>

#include <filesystem>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>

namespace hici::commands {
namespace {

constexpr const char* kUseLess = "use shorter sequences, a smaller batch or a narrower --dtype, or a larger machine";

// The number behind `words`, 0 where there is none.
int64_t number_behind(std::string_view text, std::string_view words) {
  const size_t at = text.find(words);
  if (at == std::string_view::npos) return 0;
  const std::string_view rest = text.substr(at + words.size());
  return parse_number<int64_t>(rest.substr(0, rest.find_first_not_of("0123456789"))).value_or(0);
}

// "2.00 GiB" of "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...".
std::string wanted_on_gpu(std::string_view text) {
  constexpr std::string_view kTried = "Tried to allocate ";
  const size_t at = text.find(kTried);
  if (at == std::string_view::npos) return "more";
  const std::string_view rest = text.substr(at + kTried.size());
  return std::string(rest.substr(0, rest.find(". ")));
}

std::string out_of_host_memory(int64_t bytes) {
  const std::string wanted = bytes > 0 ? human_bytes(bytes) + " more" : "more";
  return detail::concat("out of memory: the system does not give ", wanted, "; ", kUseLess);
}

std::string first_line(std::string_view text) { return clean_line(text.substr(0, text.find('\n'))); }

std::string torch_failure(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  if (dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr)
    return detail::concat("out of memory: the GPU does not give ", clean_line(wanted_on_gpu(text)), "; ", kUseLess);
  // LibTorch 2.11 has no type of its own for host memory.
  if (text.find("DefaultCPUAllocator") != std::string::npos || text.find("not enough memory") != std::string::npos)
    return out_of_host_memory(number_behind(text, "tried to allocate "));
  return detail::concat("LibTorch: ", first_line(text), "; if options and files are sound, this is a bug");
}

std::string file_system_failure(const std::filesystem::filesystem_error& error) {
  const std::string second = error.path2().empty() ? "" : " (to " + error.path2().string() + ")";
  const std::string subject = error.path1().empty() ? "file system" : error.path1().string();
  return detail::concat(subject, second, ": cannot be used (", error.code().message(),
                        "); check that it is there and may be read and written");
}

}  // namespace

std::string failure_text(const std::exception& error) {
  if (dynamic_cast<const Error*>(&error) != nullptr) return error.what();
  if (const auto* torch = dynamic_cast<const c10::Error*>(&error)) return torch_failure(*torch);
  if (const auto* files = dynamic_cast<const std::filesystem::filesystem_error*>(&error))
    return file_system_failure(*files);
  // A container that is asked for more than any memory has.
  const bool is_too_long = dynamic_cast<const std::length_error*>(&error) != nullptr;
  if (is_too_long || dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return out_of_host_memory(0);
  if (const auto* system = dynamic_cast<const std::system_error*>(&error))
    return detail::concat("system: ", system->code().message(), "; a limit of this machine (threads, open files) may ",
                          "be too low: see ulimit -a");
  return detail::concat("internal error: ", first_line(error.what()), "; this is a bug");
}

}  // namespace hici::commands
