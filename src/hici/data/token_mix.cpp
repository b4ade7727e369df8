// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_mix.h"

#include "hici/base/error.h"
#include "hici/base/parse_number.h"
#include "hici/base/split_mix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <sstream>
#include <utility>

namespace hici::data {
namespace {

// Of each part another order, and none that --data_path with this seed has.
uint64_t seed_of_part(uint64_t seed, size_t part) { return split_mix(seed + (part + 1) * kSplitMixStep); }

MixPart parse_part(const std::string& text, const std::string& subject) {
  const size_t colon = text.find(':');
  HICI_CHECK_USAGE(colon != std::string::npos && colon > 0, subject, ": '", text,
                   "' has no weight; write PATH:WEIGHT, as in a.bin:0.7,b.bin:0.3");
  HICI_CHECK_USAGE(text.find(':', colon + 1) == std::string::npos, subject, ": '", text,
                   "' has two colons; a path with a colon or a comma cannot stand here, so give the file another name");
  const std::string number = text.substr(colon + 1);
  const std::optional<double> weight = parse_number<double>(number);
  HICI_CHECK_USAGE(weight && std::isfinite(*weight), subject, ": '", number, "' of '", text, "' is no number");
  HICI_CHECK_USAGE(*weight >= 0, subject, ": ", number, " of '", text, "' is negative; a weight is 0 or more");
  return {text.substr(0, colon), *weight};
}

class MixOrder : public SampleOrder {
 public:
  MixOrder(MixChoice choice, const std::vector<int64_t>& firsts, bool shuffle, uint64_t seed)
      : choice_(std::move(choice)), firsts_(firsts) {
    for (size_t part = 0; part + 1 < firsts.size(); ++part)
      orders_.emplace_back(firsts[part + 1] - firsts[part], shuffle, seed_of_part(seed, part));
  }

  int64_t next() override {
    if (position_.index == firsts_.back()) position_ = {position_.epoch + 1, 0};
    const size_t part = choice_.part_at(place_of(position_));
    ++position_.index;
    return firsts_[part] + orders_[part].next();
  }

  SamplerPosition position() const override { return position_; }

  void seek(const SamplerPosition& position) override {
    HICI_CHECK(position.epoch >= 0 && position.index >= 0 && position.index <= firsts_.back(),
               "position of the data: epoch ", position.epoch, ", sample ", position.index, " is outside of ",
               firsts_.back(), " samples");
    position_ = position;
    const std::vector<int64_t> counts = choice_.counts_before(place_of(position));
    for (size_t part = 0; part < counts.size(); ++part) {
      const int64_t blocks = firsts_[part + 1] - firsts_[part];
      orders_[part].seek({counts[part] / blocks, counts[part] % blocks});
    }
  }

 private:
  int64_t place_of(const SamplerPosition& position) const { return position.epoch * firsts_.back() + position.index; }

  MixChoice choice_;
  std::vector<int64_t> firsts_;
  std::vector<BlockSampler> orders_;
  SamplerPosition position_;
};

}  // namespace

std::vector<MixPart> parse_mix(const std::string& text, const std::string& subject) {
  std::vector<MixPart> parts;
  std::istringstream in(text + ',');
  for (std::string each; std::getline(in, each, ',');) {
    MixPart part = parse_part(each, subject);
    const auto place = [](const MixPart& p) {
      return std::filesystem::weakly_canonical(std::filesystem::absolute(p.path));
    };
    const bool is_there =
        std::any_of(parts.begin(), parts.end(), [&](const auto& p) { return place(p) == place(part); });
    HICI_CHECK_USAGE(!is_there, subject, ": ", part.path, " is there twice; give it once, with the sum of its weights");
    parts.push_back(std::move(part));
  }
  const double sum = std::accumulate(parts.begin(), parts.end(), 0.0,
                                     [](double all, const MixPart& part) { return all + part.weight; });
  HICI_CHECK_USAGE(sum > 0 && std::isfinite(sum), subject, ": the weights of '", text, "' sum to ", sum,
                   std::isfinite(sum) ? "; give one that is above 0" : "; give smaller ones");
  return parts;
}

MixChoice::MixChoice(const std::vector<double>& weights, uint64_t seed) : seed_(seed) {
  const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0;
  for (const double weight : weights) limits_.push_back((sum += weight) / all);
}

// 53 bits are all that a double between 0 and 1 has.
size_t MixChoice::part_at(int64_t place) const {
  const uint64_t bits = split_mix(split_mix(seed_) + (static_cast<uint64_t>(place) + 1) * kSplitMixStep);
  const double drawn = static_cast<double>(bits >> 11) * 0x1p-53;
  const auto found = std::upper_bound(limits_.begin(), limits_.end(), drawn);
  if (found != limits_.end()) return static_cast<size_t>(found - limits_.begin());
  // Rounding left the last limit below 1: the part that reaches it first, so that none of weight 0 is drawn.
  return static_cast<size_t>(std::lower_bound(limits_.begin(), limits_.end(), limits_.back()) - limits_.begin());
}

std::vector<int64_t> MixChoice::counts_before(int64_t place) const {
  std::vector<int64_t> counts(limits_.size());
  for (int64_t i = 0; i < place; ++i) ++counts[part_at(i)];
  return counts;
}

TokenMix::TokenMix(std::vector<std::unique_ptr<BatchSource>> parts, std::vector<double> weights)
    : parts_(std::move(parts)), weights_(std::move(weights)), firsts_{0} {
  HICI_ASSERT(!parts_.empty() && parts_.size() == weights_.size(), parts_.size(), " parts");
  for (const auto& part : parts_) firsts_.push_back(firsts_.back() + part->num_samples());
}

TokenBatch TokenMix::batch(const std::vector<int64_t>& samples) const {
  TokenBatch all;
  std::vector<at::Tensor> tokens, labels;
  for (const int64_t sample : samples) {
    const auto part =
        static_cast<size_t>(std::upper_bound(firsts_.begin(), firsts_.end(), sample) - firsts_.begin()) - 1;
    TokenBatch one = parts_[part]->batch({sample - firsts_[part]});
    HICI_ASSERT(!one.valid_BT.defined() && one.sequences.empty(), "padding in a mix");
    tokens.push_back(std::move(one.tokens_BT));
    labels.push_back(std::move(one.labels_BT));
    all.num_targets += one.num_targets;
  }
  all.tokens_BT = at::cat(tokens);
  all.labels_BT = at::cat(labels);
  all.blocks = samples;
  return all;
}

std::unique_ptr<SampleOrder> TokenMix::order(bool shuffle, uint64_t seed) const {
  return std::make_unique<MixOrder>(MixChoice(weights_, seed), firsts_, shuffle, seed);
}

std::vector<int64_t> TokenMix::counts_before(const SamplerPosition& position, uint64_t seed) const {
  return MixChoice(weights_, seed).counts_before(position.epoch * num_samples() + position.index);
}

}  // namespace hici::data
