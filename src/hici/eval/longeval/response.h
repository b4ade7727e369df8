// SPDX-License-Identifier: Apache-2.0
// Writing LongEval's answer files, letter for letter as LongEval does; answers.h reads them.
#pragma once

#include "hici/eval/longeval/answers.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

// A line without its end. An answer to a topic is a list of one Python string, in which line ends are escaped. In the
// answer to a line they become spaces, and behind it stands its last number, -1 when it has none.
std::string response_line(const RetrievalAnswer& answer, int64_t prompt_length, RetrievalTask task);

// "Accuracy: 0.98", the last line of an answer file of the lines task, which has no line end.
std::string accuracy_line(int64_t num_correct, int64_t num_answers);

// Python's repr() of a string: in single quotes unless it holds some and no double ones; backslashes, control and
// format characters and spaces other than ' ' are escaped. Characters that Unicode has not assigned stay as they are.
std::string with_python_quotes(std::string_view text);

}  // namespace hici::eval
