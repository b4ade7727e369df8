// SPDX-License-Identifier: Apache-2.0
// Several data sets with weights as one BatchSource. Which of them a place in the sequence of samples takes is drawn by
// (seed, place), and nothing else: the same for any number of processes, and when a run goes on. Of each data set the
// blocks come in an order of its own, all of them before one comes again.
#pragma once

#include "hici/data/batch_source.h"
#include "hici/data/block_sampler.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hici::data {

struct MixPart {
  std::string path;  // as the user wrote it
  double weight = 0;

  bool operator==(const MixPart&) const = default;
};

// "a.bin:0.7,b.bin:0.3" -> its parts. Usage errors begin with `subject`: no weight, a weight that is no number,
// negative or not finite, weights that sum to zero, a path with a colon, one that is there twice.
std::vector<MixPart> parse_mix(const std::string& text, const std::string& subject);

// Which part place 0, 1, 2, ... takes.
class MixChoice {
 public:
  MixChoice(const std::vector<double>& weights, uint64_t seed);
  size_t part_at(int64_t place) const;
  // How many of the places before this one each part has.
  std::vector<int64_t> counts_before(int64_t place) const;

 private:
  std::vector<double> limits_;  // of each part: the sum of the shares up to and with it
  uint64_t seed_;
};

// An epoch has as many places as all parts have samples. The samples of a part are numbered behind those of the parts
// before it.
class TokenMix : public BatchSource {
 public:
  // All samples of one batch have one length, without padding.
  TokenMix(std::vector<std::unique_ptr<BatchSource>> parts, std::vector<double> weights);

  int64_t num_samples() const override { return firsts_.back(); }
  TokenBatch batch(const std::vector<int64_t>& samples) const override;
  std::unique_ptr<SampleOrder> order(bool shuffle, uint64_t seed) const override;
  // Samples of each part up to a position of that order.
  std::vector<int64_t> counts_before(const SamplerPosition& position, uint64_t seed) const;

 private:
  std::vector<std::unique_ptr<BatchSource>> parts_;
  std::vector<double> weights_;
  std::vector<int64_t> firsts_;  // the first sample of each part, and the number of all
};

}  // namespace hici::data
