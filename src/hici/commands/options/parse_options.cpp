// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/parse_options.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/commands/command.h"
#include "hici/commands/options/config_file.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/option_text.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <utility>

namespace hici::commands {
namespace {

// "--num-chunks" -> "--num_chunks": one spelling inside.
std::string canonical_name(std::string name) {
  if (name.rfind("--", 0) == 0) std::replace(name.begin() + 2, name.end(), '-', '_');
  return name;
}

// "--x", "-e", "--"; neither "-" nor "-1".
bool looks_like_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' &&
         (word[1] == '-' || std::isalpha(static_cast<unsigned char>(word[1])) != 0);
}

bool takes_several(const CLI::Option& option) { return option.get_expected_max() > 1; }
bool is_flag(const CLI::Option& option) { return option.get_expected_max() == 0; }
// A second file of options would be another run.
bool is_config(const CLI::Option& option) { return main_name(option) == "config"; }
bool may_stand_alone(const CLI::Option& option) {
  return is_bool(option) || (is_inherited(option) && option.get_expected_min() == 0);
}

std::vector<std::string> names_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  return names;
}

class Parser {
 public:
  Parser(CLI::App& app, const std::string& command) : app_(app), command_(command) {
    for (const CLI::Option* option : app.get_options()) has_positionals_ |= option->get_positional();
  }

  void take_words(const std::vector<std::string>& words) {
    for (size_t i = 0; i < words.size();) {
      if (words[i] == "--") {
        for (++i; i < words.size(); ++i) take_positional(words[i]);
      } else if (looks_like_option(words[i])) {
        i = take_option(words, i);
      } else {
        take_positional(words[i++]);
      }
    }
  }

  void take_config_file() {
    const CLI::Option* config = app_.get_option_no_throw("--config");
    if (config == nullptr || config->count() == 0) return;
    std::vector<CLI::Option*> typed;
    for (CLI::Option* option : app_.get_options())
      if (option->count() > 0) typed.push_back(option);
    const std::vector<ConfigLine> lines = read_config_file(config->results().front(), command_);
    note_read_place({config->results().front(), "--config"});
    for (const ConfigLine& line : lines) {
      CLI::Option* option = app_.get_option_no_throw("--" + line.name);
      if (option == nullptr || option == config || option == app_.get_help_ptr()) {
        problem(line.source + ": unknown option " + printable(line.name) + suggestion(line.name));
      } else if (std::find(typed.begin(), typed.end(), option) == typed.end()) {
        sources_[option] = line.source + ": ";
        give(*option, line.values);
      }
    }
  }

  // Another option stands in its place.
  static bool is_replaced(const CLI::Option& option) {
    const std::set<CLI::Option*>& others = option.get_excludes();
    return std::any_of(others.begin(), others.end(), [](const CLI::Option* other) { return other->count() > 0; });
  }

  // Converts and sets the values, and raises what was wrong.
  void finish() {
    std::vector<CLI::Option*> inherited;  // they log, which belongs to a command that runs
    std::string missing;
    for (CLI::Option* option : app_.get_options()) {
      if (option->get_required() && option->count() == 0 && !is_replaced(*option))
        missing += (missing.empty() ? "" : ", ") + shown_name(*option);
      if (option->count() == 0 || option == app_.get_help_ptr()) continue;
      is_inherited(*option) && !is_refused(*option) ? inherited.push_back(option) : set(*option);
    }
    if (!missing.empty()) problem(missing + ": missing; give a value, 'hici help " + command_ + "' says what it is");
    raise();
    for (CLI::Option* option : inherited) set(*option);
    raise();
    tell_of_repeated();
  }

 private:
  void problem(std::string text) { problems_.push_back(std::move(text)); }

  std::string suggestion(const std::string& name) const {
    const std::string near = nearest_name(name, names_of(app_));
    return near.empty() ? "" : " (did you mean --" + near + "?)";
  }

  // The index behind the option and its values.
  size_t take_option(const std::vector<std::string>& words, size_t at) {
    const size_t equals = words[at].find('=');
    const std::string name = canonical_name(words[at].substr(0, equals));
    CLI::Option* option = app_.get_option_no_throw(name);
    const bool has_value = equals != std::string::npos;
    ++at;
    if (option == nullptr) {
      const std::string plain = name.substr(std::min(name.find_first_not_of('-'), name.size()));
      unknown_ += (unknown_.empty() ? "" : ", ") + printable(name) + suggestion(plain);
      return !has_value && at < words.size() && !looks_like_option(words[at]) ? at + 1 : at;
    }
    std::vector<std::string> values;
    if (has_value) {
      values.push_back(words[at - 1].substr(equals + 1));
    } else {
      while (at < words.size() && takes_word(*option, words[at], values.size())) values.push_back(words[at++]);
    }
    give(*option, values);
    return at;
  }

  // Whether `word` is the next value of the option, which has `count` already.
  bool takes_word(const CLI::Option& option, const std::string& word, size_t count) const {
    if (is_flag(option)) return false;
    // What may stand alone leaves a text to the positionals.
    if (may_stand_alone(option)) {
      const bool is_wanted = count == 0 || (takes_several(option) && !has_positionals_);
      return is_wanted && !looks_like_option(word) && (!has_positionals_ || is_truth_value(word));
    }
    if (count == 0) return !names_option(word);
    return takes_several(option) && option.get_allow_extra_args() && !looks_like_option(word);
  }

  bool names_option(const std::string& word) const {
    return looks_like_option(word) &&
           app_.get_option_no_throw(canonical_name(word.substr(0, word.find('=')))) != nullptr;
  }

  void give(CLI::Option& option, std::vector<std::string> values) {
    const std::string name = sources_[&option] + shown_name(option);
    if (option.count() > 0 && !takes_several(option)) {
      if (!may_be_repeated(option)) return problem(name + ": given twice; give it once");
      ++repeated_[&option];
      option.clear();
    }
    if (values.size() > 1 && !takes_several(option))
      return problem(name + ": has " + std::to_string(values.size()) + " values; give one");
    if (is_flag(option)) return give_flag(option, name, values);
    if (values.empty() && may_stand_alone(option)) values.emplace_back("True");
    if (is_bool(option) && values.front().empty()) return problem(name + ": '' is no truth value; use True or False");
    if (values.empty())
      return problem(name + ": a value must follow; write " + name + "=VALUE where it begins with a dash");
    option.add_result(values);
  }

  // The last one wins on a command line, as scripts append to one they were given. In a file it is a mistake, and a
  // text that stands alone is no option.
  bool may_be_repeated(const CLI::Option& option) const {
    const auto source = sources_.find(&option);
    const bool is_from_file = source != sources_.end() && !source->second.empty();
    return !is_from_file && !is_config(option) && std::find(taken_.begin(), taken_.end(), &option) == taken_.end();
  }

  void tell_of_repeated() const {
    for (const CLI::Option* option : app_.get_options()) {
      const auto found = repeated_.find(option);
      if (found == repeated_.end() || is_inherited(*option) || is_flag(*option)) continue;
      const std::string times = found->second == 1 ? "twice" : std::to_string(found->second + 1) + " times";
      const std::string& value = option->results().back();
      const bool may_hold_a_key = value.find("://") != std::string::npos;  // a URL
      const std::string used = may_hold_a_key ? "the last one" : value.empty() ? "''" : printable(value);
      log_info(shown_name(*option), " given ", times, ": ", used, " is used");
    }
  }

  void give_flag(CLI::Option& option, const std::string& name, const std::vector<std::string>& values) {
    const std::string value = values.empty() ? "true" : values.front();
    if (!is_truth_value(value))
      return problem(name + ": '" + printable(value) + "' is no truth value; use True or False");
    option.add_result(value);
  }

  void take_positional(const std::string& word) {
    for (CLI::Option* option : app_.get_options()) {
      if (!option->get_positional() || (option->count() > 0 && !takes_several(*option))) continue;
      option->add_result(word);
      taken_.push_back(option);
      return;
    }
    problem("unexpected argument '" + printable(word) + "'; 'hici " + command_ + " --help' shows the usage");
  }

  void set(CLI::Option& option) {
    try {
      option.run_callback();
    } catch (const UsageError& e) {
      problem(sources_[&option] + e.what());
    } catch (const CLI::Error&) {
      problem(sources_[&option] + shown_name(option) + ": '" + printable(option.results().back()) +
              "' cannot be read; 'hici " + command_ + " --help' says what it takes");
    }
  }

  void raise() const {
    std::string message;
    if (!unknown_.empty()) message = "unknown option: " + unknown_ + "; 'hici " + command_ + " --help' lists them";
    for (const std::string& text : problems_) message += (message.empty() ? "" : "; ") + text;
    HICI_CHECK_USAGE(message.empty(), message);
  }

  CLI::App& app_;
  std::string command_;
  bool has_positionals_ = false;
  std::string unknown_;
  std::vector<std::string> problems_;
  std::map<const CLI::Option*, std::string> sources_;  // of values from a file: "run.ini: line 3: "
  std::map<const CLI::Option*, int> repeated_;         // how often after the first time
  std::vector<const CLI::Option*> taken_;              // positionals by a text that stood alone
};

}  // namespace

void parse_options(CLI::App& app, const std::string& command, const std::vector<std::string>& words) {
  Parser parser(app, command);
  parser.take_words(words);
  parser.take_config_file();
  parser.finish();
}

}  // namespace hici::commands
