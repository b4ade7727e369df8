// SPDX-License-Identifier: Apache-2.0
// What a judge's server must be told and nobody else: the key, and user, password and query of its address. Texts that
// come back from the server (an error that quotes the request) go through hidden() before anything shows or keeps them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

class JudgeSecrets {
 public:
  JudgeSecrets(const std::string& url, const std::string& api_key);

  // The text with *** for every secret in it: as it is, in Base64 as HTTP sends user and password, and in escapes of
  // URLs, JSON and HTML, one inside the other too.
  std::string hidden(std::string_view text) const;

 private:
  void add(const std::string& secret);

  std::vector<std::string> secrets_;
};

// An address as messages may show it: *** for user and password, and for all behind '?' or '#'.
std::string shown_url(std::string_view url);

}  // namespace hici::eval
