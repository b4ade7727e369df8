// SPDX-License-Identifier: Apache-2.0
// Secrets for a judge's server only: the key, and parts of the server's address (user, password, query, anything like a
// key in the path). Texts from the server, such as an error that quotes the request, must pass hidden() before they are
// shown or stored.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

class JudgeSecrets {
 public:
  JudgeSecrets(const std::string& url, const std::string& api_key);

  // The text with *** for every secret, in any case: plain, backwards, in hexadecimal digits, in Base64 (alone, after
  // other bytes, also in the URL alphabet), and in escapes of URLs, JSON, HTML and Python, also nested. Secrets of less
  // than 8 bytes are found plain and escaped only.
  std::string hidden(std::string_view text) const;

 private:
  // A spelling of a secret. In Base64 its first and last letters depend on the adjacent bytes.
  struct Form {
    std::string text;
    size_t before = 0;  // number of Base64 letters before it that are part of the secret
    size_t after = 0;   // and after it, without '='
  };

  void add(const std::string& secret);
  void add_base64(const std::string& secret);

  std::vector<Form> forms_;
};

// An address for messages: *** for user and password, for the key anywhere, for parts of the path that look like keys
// (20 letters and digits in a row), and for everything after '?' or '#'.
std::string shown_url(std::string_view url, const std::string& api_key);

}  // namespace hici::eval
