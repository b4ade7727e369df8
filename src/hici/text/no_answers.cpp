// SPDX-License-Identifier: Apache-2.0
// Stands in for answers.cpp and http.cpp where the Rust crate is not built.
#include "hici/base/error.h"
#include "hici/text/answers.h"
#include "hici/text/http.h"

namespace hici::text {
namespace {

[[noreturn]] void no_text_support(const char* what) {
  fail(what,
       ": this hici was built without text support (HICI_TEXT=OFF); install Rust (cargo), configure with "
       "-DHICI_TEXT=ON and build again");
}

}  // namespace

Words english_words(std::string_view) { no_text_support("words of answers"); }
Words chinese_words(std::string_view) { no_text_support("words of answers"); }
std::string segment_chinese(std::string_view) { no_text_support("words of answers"); }
Words numbers(std::string_view) { no_text_support("numbers of answers"); }
EditDistance edit_distance(std::string_view, std::string_view) { no_text_support("similarity of answers"); }
HttpAnswer post_json(const HttpRequest&) { no_text_support("HTTP"); }

}  // namespace hici::text
