// SPDX-License-Identifier: Apache-2.0
// Bounds of counts that users give: above them lie slips of the finger, and products that 64 bits do not hold.
#pragma once

#include <cstdint>
#include <string_view>

namespace hici::config {

constexpr int64_t kMaxCount = 1'000'000'000'000;          // steps, cases, tokens of a file
constexpr int64_t kMaxBatch = int64_t{1} << 20;           // sequences
constexpr int64_t kMaxSequenceTokens = int64_t{1} << 32;  // of one sequence
constexpr int64_t kMaxTokensAtOnce = int64_t{1} << 40;    // of a forward; its bytes fit 64 bits in any model
constexpr int64_t kMaxTokensOfStep = int64_t{1} << 50;    // of all forwards of an optimizer step
constexpr int64_t kMaxSegments = int64_t{1} << 32;
constexpr int64_t kMaxSlots = 1 << 16;
constexpr int64_t kMaxDim = 1 << 20;  // width of a HiCI module
constexpr int64_t kMaxLoraRank = 1 << 14;
constexpr int64_t kMaxSeed = INT64_MAX;  // what every reader of JSON and every kernel holds
constexpr double kMinLoraAlpha = 1e-6;
constexpr double kMaxLoraAlpha = 1e6;
constexpr double kMaxLearningRate = 10;  // an update of AdamW is as large as the rate: beyond 1 nothing is learned
constexpr double kMaxWeightDecay = 100;
constexpr double kMaxAdamEpsilon = 1;
constexpr double kMaxGradNorm = 1e9;

// A usage error when a forward of `batch` sequences of `length` tokens has more than kMaxTokensAtOnce. Both are within
// their own bounds.
void check_tokens_at_once(std::string_view batch_option, int64_t batch, std::string_view length_option, int64_t length);

}  // namespace hici::config
