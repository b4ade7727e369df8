// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/stop_strings.h"

#include "hici/base/error.h"

#include <algorithm>
#include <utility>

namespace hici::generate {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    HICI_CHECK_USAGE(!stop.empty(), "`stop`: an empty string would stop everything; leave it out");
  }
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return {};
  pending_ += text;
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, pending_.find(stop));
  found_ = first != std::string::npos;
  const size_t certain = found_ ? first : pending_.size() - held_back();
  std::string out = pending_.substr(0, certain);
  pending_.erase(0, certain);
  return out;
}

std::string StopStrings::finish() { return found_ ? std::string() : std::exchange(pending_, {}); }

// Bytes at the end of the pending text with which a stop string begins.
size_t StopStrings::held_back() const {
  size_t most = 0;
  for (const std::string& stop : stops_) {
    for (size_t count = std::min(stop.size() - 1, pending_.size()); count > most; --count) {
      if (std::string_view(pending_).substr(pending_.size() - count) == std::string_view(stop).substr(0, count)) {
        most = count;
      }
    }
  }
  return most;
}

}  // namespace hici::generate
