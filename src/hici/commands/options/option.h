// SPDX-License-Identifier: Apache-2.0
// An option whose command asks whether it was typed, on the command line or in the file of --config: a member of the
// command's struct, so that a name that is not there does not compile.
//
//   Option<std::string> chat_template{"auto"};             // has its value
//   Option<int64_t&> lora_r{spec.lora.rank};               // the value stands in a struct of the library
//   add_option(app, "lora_r", lora_r, "Rank of the adapters", {1, config::kMaxLoraRank});
//   HICI_CHECK_USAGE(!lora_r.typed(), lora_r.name(), ": has no effect with ...
#pragma once

#include "hici/commands/command.h"
#include "hici/commands/options/option_text.h"

#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>

namespace hici::commands {

// An option without its value, for what is said of options of several types.
class DeclaredOption {
 public:
  DeclaredOption() = default;
  DeclaredOption(const DeclaredOption&) = delete;  // a copy would not know of what is parsed later, nor own its value
  DeclaredOption& operator=(const DeclaredOption&) = delete;

  // False for an option that the command does not have.
  bool typed() const { return declared_ != nullptr && declared_->count() > 0; }
  bool is_declared() const { return declared_ != nullptr; }
  std::string key() const { return main_name(*declared_); }  // "lora_r"
  std::string name() const { return "--" + key(); }          // as messages have it

  CLI::Option* declare(CLI::Option* option) {
    declared_ = option;
    return option;
  }

 private:
  const CLI::Option* declared_ = nullptr;
};

using OptionList = std::initializer_list<const DeclaredOption*>;

template <typename T>
struct Option : DeclaredOption {
  Option()
    requires(!std::is_reference_v<T>)
      : value() {}
  explicit Option(T initial) : value(std::forward<T>(initial)) {}

  T value;
};

// The helpers of command.h, for such an option.
template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, Option<T>& option, const std::string& help) {
  return option.declare(add_option(app, name, option.value, help));
}
template <typename T>
CLI::Option* add_option(CLI::App& app, const std::string& name, Option<T>& option, const std::string& help,
                        const std::type_identity_t<Range<std::remove_reference_t<T>>>& range) {
  return option.declare(add_option(app, name, option.value, help, range));
}
template <typename T>
CLI::Option* add_tokens(CLI::App& app, const std::string& name, Option<T>& option, const std::string& help,
                        const Range<int64_t>& range = kTokensFromZero) {
  return option.declare(add_tokens(app, name, option.value, help, range));
}
template <typename T>
CLI::Option* add_bool(CLI::App& app, const std::string& name, Option<T>& option, const std::string& help) {
  return option.declare(add_bool(app, name, option.value, help));
}

}  // namespace hici::commands
