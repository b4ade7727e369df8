// SPDX-License-Identifier: Apache-2.0
#include "hici/config/bounds.h"

#include "hici/base/error.h"

namespace hici::config {

void check_tokens_at_once(std::string_view batch_option, int64_t batch, std::string_view length_option,
                          int64_t length) {
  HICI_CHECK_USAGE(length < 1 || batch <= kMaxTokensAtOnce / length, batch_option, ": ", batch, " sequences of ",
                   length_option, " ", length, " are more than ", kMaxTokensAtOnce,
                   " tokens at once; use a smaller batch");
}

}  // namespace hici::config
