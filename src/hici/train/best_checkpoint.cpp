// SPDX-License-Identifier: Apache-2.0
#include "hici/train/best_checkpoint.h"

#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/io/checkpoint/manifest.h"
#include "hici/io/checkpoint/store.h"

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

namespace hici::train {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 16;
constexpr const char* kStep = "step";
constexpr const char* kLoss = "eval_loss";
constexpr const char* kData = "eval_data_sha256";

}  // namespace

std::optional<StoredBest> read_best_checkpoint(const std::filesystem::path& output_dir) {
  const std::filesystem::path file = output_dir / kBestCheckpointName;
  if (!is_there(file)) return std::nullopt;
  const nlohmann::json value = parse_json(read_file(file, kMaxBytes), file.string());
  const JsonObject object(value, file.string());
  return StoredBest{{object.integer(kStep, 1, std::numeric_limits<int64_t>::max()), object.number(kLoss)},
                    object.string(kData)};
}

void write_best_checkpoint(const std::filesystem::path& output_dir, const StoredBest& stored) {
  nlohmann::ordered_json value;
  value["checkpoint"] = io::checkpoint_path("", stored.best.step).string();
  value[kStep] = stored.best.step;
  value[kLoss] = stored.best.eval_loss;
  value["eval_perplexity"] = std::exp(stored.best.eval_loss);
  value[kData] = stored.eval_data;
  write_file_atomically(output_dir / kBestCheckpointName, value.dump(2) + "\n");
}

std::optional<BestCheckpoint> best_at(const std::filesystem::path& output_dir, int64_t step,
                                      const std::optional<StoredBest>& stored,
                                      const std::map<int64_t, double>& evaluations) {
  std::optional<BestCheckpoint> best;
  const auto offer = [&](const BestCheckpoint& offered) {
    const bool is_better = std::isfinite(offered.eval_loss) && (!best || offered.eval_loss < best->eval_loss);
    if (!is_better || offered.step > step) return;
    if (is_there(io::checkpoint_path(output_dir, offered.step) / io::kManifestName)) best = offered;
  };
  for (const auto& [at, loss] : evaluations) offer({at, loss});
  if (stored) offer(stored->best);
  return best;
}

}  // namespace hici::train
