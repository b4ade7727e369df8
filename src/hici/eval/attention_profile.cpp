// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/attention_profile.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/eval/attention_rows.h"
#include "hici/nn/non_finite.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

namespace hici::eval {
namespace {

// What one batch of windows adds.
struct BatchShares {
  std::vector<double> sums_LHX;
  int64_t queries = 0;
  std::optional<AttentionMap> map = {};
};

BatchShares see_batch(const nn::CausalLm& model, const TokenWindows& windows, int64_t batch,
                      const AttentionProfileOptions& options) {
  const int64_t first = windows.first_window(batch);
  std::optional<MapPlace> place = options.place;
  if (place) place->sequence = options.map_window - first;
  if (place && (place->sequence < 0 || place->sequence >= windows.windows_of(batch))) place.reset();
  AttentionShares shares(model.config().num_hidden_layers, model.config().num_attention_heads, place);
  nn::ForwardOptions forward = options.forward;
  forward.observer = &shares;
  model.forward_hidden(windows.read(batch).to(model.head_weight().device()), forward);
  const at::Tensor sums_LHX = shares.sums_LHX().contiguous();
  if (!sums_LHX.isfinite().all().item<bool>())
    nn::fail_not_finite(model, "the attention of " + windows.described(batch));
  const auto* data = sums_LHX.const_data_ptr<double>();
  return {{data, data + sums_LHX.numel()}, shares.num_queries(), shares.map()};
}

class AttentionSums {
 public:
  void add(const BatchShares& batch) {
    sums_LHX_.resize(batch.sums_LHX.size());
    for (size_t i = 0; i < sums_LHX_.size(); ++i) sums_LHX_[i] += batch.sums_LHX[i];
    queries_ += batch.queries;
    if (batch.map) map_ = batch.map;
  }

  AttentionProfile profile(const nn::CausalLm& model, int64_t windows, double seconds) const {
    AttentionProfile profile{.global = by_head(model, 0),
                             .local = by_head(model, 1),
                             .token = by_head(model, 2),
                             .map = map_,
                             .windows = windows,
                             .queries = queries_,
                             .seconds = seconds};
    return profile;
  }

 private:
  SharesByHead by_head(const nn::CausalLm& model, size_t part) const {
    const auto heads = static_cast<size_t>(model.config().num_attention_heads);
    SharesByHead shares(static_cast<size_t>(model.config().num_hidden_layers), std::vector<double>(heads));
    for (size_t l = 0; l < shares.size(); ++l) {
      for (size_t h = 0; h < heads; ++h) {
        shares[l][h] = sums_LHX_[(l * heads + h) * kAttentionParts + part] / static_cast<double>(queries_);
      }
    }
    return shares;
  }

  std::vector<double> sums_LHX_;
  int64_t queries_ = 0;
  std::optional<AttentionMap> map_;
};

nlohmann::json to_json(const BatchShares& shares) {
  nlohmann::json json = {{"sums", shares.sums_LHX}, {"queries", shares.queries}};
  if (shares.map) json["map"] = hici::eval::to_json(*shares.map);
  return json;
}

AttentionMap map_from_json(const JsonObject& json) {
  constexpr int64_t kMost = int64_t{1} << 32;
  AttentionMap map{json.integer("global_slots", 0, kMost),
                   json.integer("local_slots", 0, kMost),
                   json.integer("block_tokens", 1, kMost),
                   {}};
  for (const nlohmann::json& row : json.at("rows")) {
    map.rows.push_back(numbers_of(row, json.subject() + ": row"));
  }
  // What draws it takes the slots from the front of each row.
  for (const std::vector<double>& row : map.rows)
    HICI_CHECK(
        row.size() == map.rows.front().size() && static_cast<int64_t>(row.size()) >= map.num_global + map.num_local,
        json.subject(), ": rows of ", row.size(), " shares, expected the same in each and at least ",
        map.num_global + map.num_local, "; the journal is damaged, remove it");
  return map;
}

BatchShares shares_from_json(const JsonObject& answer, size_t num_sums) {
  BatchShares shares{numbers_of(answer.at("sums"), answer.subject() + ": sums"),
                     answer.integer("queries", 1, INT64_MAX)};
  HICI_CHECK(shares.sums_LHX.size() == num_sums, answer.subject(), ": ", shares.sums_LHX.size(), " sums, expected ",
             num_sums);
  if (answer.has("map")) shares.map = map_from_json(answer.object("map"));
  return shares;
}

}  // namespace

std::vector<double> means_of_layers(const SharesByHead& shares) {
  std::vector<double> means;
  for (const std::vector<double>& heads : shares) {
    means.push_back(std::accumulate(heads.begin(), heads.end(), 0.0) / static_cast<double>(heads.size()));
  }
  return means;
}

nlohmann::json to_json(const AttentionMap& map) {
  return {{"global_slots", map.num_global},
          {"local_slots", map.num_local},
          {"block_tokens", map.block_tokens},
          {"rows", map.rows}};
}

AttentionProfile profile_attention(const nn::CausalLm& model, const data::TokenFile& tokens,
                                   const AttentionProfileOptions& options,
                                   const std::function<void(int64_t, int64_t)>& on_progress) {
  const at::NoGradGuard no_grad;
  const TokenWindows windows(tokens, options.windows);
  AttentionSums sums;
  const double seconds =
      windows.for_each_batch([&](int64_t batch) { sums.add(see_batch(model, windows, batch, options)); },
                             [&](int64_t done) { on_progress(done, windows.num_windows()); });
  return sums.profile(model, windows.num_windows(), seconds);
}

void share_attention_profile(const nn::CausalLm& model, const data::TokenFile& tokens,
                             const AttentionProfileOptions& options, const SharedWork& work,
                             const std::function<void(const AttentionProfile&)>& write) {
  const at::NoGradGuard no_grad;
  const TokenWindows windows(tokens, options.windows);
  auto answer = [&](int64_t batch) { return to_json(see_batch(model, windows, batch, options)); };
  const auto num_sums =
      static_cast<size_t>(model.config().num_hidden_layers * model.config().num_attention_heads * kAttentionParts);
  auto merge = [&](const std::vector<nlohmann::json>& answers, double seconds) {
    AttentionSums sums;
    for (const nlohmann::json& value : answers) {
      const JsonObject shares(value, work.output.string() + ": shares of a batch");
      sums.add(shares_from_json(shares, num_sums));
    }
    write(sums.profile(model, windows.num_windows(), seconds));
  };
  share_cases(work, windows.num_batches(), answer, merge);
}

}  // namespace hici::eval
