// SPDX-License-Identifier: Apache-2.0
// JSON to a server and text back, over the Rust crate (which brings TLS). In a binary built with HICI_TEXT=OFF
// post_json throws an error that says so.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace hici::text {

struct HttpRequest {
  std::string url;     // http:// or https://
  std::string bearer;  // token of the Authorization header; may be empty
  std::string body;    // JSON
  std::chrono::milliseconds timeout{60'000};
};

struct HttpAnswer {
  uint32_t status = 0;  // 0: no answer came, and `body` says why
  std::string body;
  std::optional<double> retry_after_seconds;  // what the server asks for
};

// Redirects are not followed; proxy variables of the environment count. Never throws for what the other side does.
HttpAnswer post_json(const HttpRequest& request);

}  // namespace hici::text
