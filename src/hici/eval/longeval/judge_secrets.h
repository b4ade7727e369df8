// SPDX-License-Identifier: Apache-2.0
// What a judge's server must be told and nobody else: the key, and of its address user, password, query, and what looks
// like a key in its path. Texts that come back from the server (an error that quotes the request) go through hidden()
// before anything shows or keeps them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

class JudgeSecrets {
 public:
  JudgeSecrets(const std::string& url, const std::string& api_key);

  // The text with *** for every secret in it, whatever its case: as it is, backwards, in hexadecimal digits, in Base64
  // (alone, behind other bytes, with the letters of URLs too), and in escapes of URLs, JSON, HTML and Python, one
  // inside the other too. Secrets of less than 8 bytes are looked for as they are, and escaped.
  std::string hidden(std::string_view text) const;

 private:
  // How a secret may be written. In Base64 its first and last letters depend on what stands beside it.
  struct Form {
    std::string text;
    size_t before = 0;  // so many letters of Base64 before it are part of the secret
    size_t after = 0;   // and behind it, '=' not counted
  };

  void add(const std::string& secret);
  void add_base64(const std::string& secret);

  std::vector<Form> forms_;
};

// An address as messages may show it: *** for user and password, for the key wherever it stands, for parts of the path
// that look like keys (20 letters and digits in a row), and for all behind '?' or '#'.
std::string shown_url(std::string_view url, const std::string& api_key);

}  // namespace hici::eval
