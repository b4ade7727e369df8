// SPDX-License-Identifier: Apache-2.0
// Options of Dual Chunk Attention, for commands that evaluate or generate.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/config/dual_chunk.h"
#include "hici/ops/segment_attention.h"

#include <CLI/CLI.hpp>

#include <string>

namespace hici::commands {

struct DualChunkOptions {
  Option<int64_t> pretraining_length{0};
  Option<int64_t> local_window{0};
  Option<bool> mscale{false};

  // --pretraining_length, --dca_local_window, --dca_mscale.
  void bind(CLI::App& command);
  // Without `is_used` each of them is an error that names `way_out` ("--eval_mode dca"); with it, their ranges and the
  // backend, as far as they can be judged without the model.
  void check(bool is_used, const std::string& way_out, ops::AttentionBackend backend) const;
  // `length` is the T of --dca_mscale.
  config::DualChunkRule rule(int64_t length) const;
};

}  // namespace hici::commands
