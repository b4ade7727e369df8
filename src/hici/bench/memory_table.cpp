// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/memory_table.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/text_table.h"
#include "hici/config/divides.h"
#include "hici/train/plan_text.h"
#include "hici/train/segment_streaming.h"

namespace hici::bench {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 26;
constexpr double kGib = 1024.0 * 1024 * 1024;

train::PlanProblem problem_of(const MemoryTableSpec& spec, int64_t length, const train::ParameterSizes& parameters) {
  train::PlanProblem problem;
  problem.model = spec.model.config;
  problem.shape = {spec.batch_size, length, spec.attention.kind, 0, {}, 0, parameters.trains_head};
  if (spec.trainable.low_rank) problem.shape.lora_rank = spec.lora.rank;
  if (spec.attention.kind != nn::AttentionKind::kFull)
    problem.shape.segment_length = length / spec.model.hici.num_segments;
  if (spec.attention.has_slots) problem.shape.hici = spec.model.hici;
  problem.dtype = spec.dtype;
  // As on a GPU of sm_80 or newer (ops::why_not()).
  problem.whole_scores = spec.dtype == at::kFloat || problem.model.head_dim % 8 != 0 || problem.model.head_dim > 256;
  problem.stream_segments = spec.stream_segments;
  problem.accumulates = spec.accumulation_steps > 1;
  problem.parameters = parameters;
  return problem;
}

train::MemoryPlan plan_of(const MemoryTableSpec& spec, const train::PlanProblem& problem) {
  const auto layers = static_cast<size_t>(problem.model.num_hidden_layers);
  if (spec.policy) return plan_memory(problem, nn::ActivationPolicies(layers, *spec.policy));
  if (auto plan = fit_memory(problem, spec.budget())) return *plan;
  return plan_memory(problem, nn::ActivationPolicies(layers, nn::ActivationPolicy::kOffload));
}

nlohmann::json row_of(const MemoryTableSpec& spec, const train::PlanProblem& problem) {
  const train::MemoryPlan plan = plan_of(spec, problem);
  const train::MemoryGroups& groups = plan.peak.groups;
  const bool fits = groups.total() <= spec.budget();
  nlohmann::json row{{"model_max_length", problem.shape.tokens},
                     {"weights", groups.weights},
                     {"optimizer", groups.optimizer},
                     {"gradients", groups.gradients},
                     {"activations", groups.activations},
                     {"layer_at_work", groups.working},
                     {"loss", groups.loss},
                     {"other", groups.other + train::kContextBytes},
                     {"total", groups.total() + train::kContextBytes},
                     {"host", plan.host},
                     {"peak_moment", plan.peak.name},
                     {"policies", nn::describe(plan.policies, plan.policies.size())},
                     {"recomputed_share", recomputed_share(problem, plan.policies)},
                     {"fits", fits}};
  if (!fits) row["what_fits"] = describe_what_fits(problem, spec.budget());
  return row;
}

std::string table_text(const nlohmann::json& rows) {
  const std::vector<std::pair<const char*, const char*>> columns{{"weights", "weights"},
                                                                 {"optimizer", "optimizer"},
                                                                 {"gradients", "gradients"},
                                                                 {"activations", "activations"},
                                                                 {"layer", "layer_at_work"},
                                                                 {"loss", "loss"},
                                                                 {"other", "other"},
                                                                 {"total", "total"},
                                                                 {"host", "host"}};
  std::vector<std::vector<std::string>> cells{{"context", "fits", "policies", "peak at"}};
  for (const auto& [heading, key] : columns) cells[0].push_back(heading);
  for (const nlohmann::json& row : rows) {
    std::vector<std::string> line{std::to_string(row["model_max_length"].get<int64_t>()), row["fits"] ? "yes" : "no",
                                  row["policies"], row["peak_moment"]};
    for (const auto& [heading, key] : columns) line.push_back(fixed_digits(row[key].get<double>() / kGib, 2));
    cells.push_back(std::move(line));
  }
  std::string text = aligned_text(cells, 4);
  for (const nlohmann::json& row : rows) {
    if (!row["fits"])
      text += detail::concat(row["model_max_length"].get<int64_t>(), " does not fit; ",
                             row["what_fits"].get<std::string>(), "\n");
  }
  return text;
}

nlohmann::json facts_of(const MemoryTableSpec& spec, const train::ParameterSizes& parameters) {
  return {{"command", "plan"},
          {"model", spec.model.name},
          {"attention", spec.attention.name},
          {"num_segments", spec.model.hici.num_segments},
          {"causal_mode", config::name_of(spec.model.hici.causal_mode)},
          {"batch_size", spec.batch_size},
          {"gradient_accumulation_steps", spec.accumulation_steps},
          {"dtype", spec.dtype == at::kBFloat16 ? "bfloat16" : "float32"},
          {"low_rank_training", spec.trainable.low_rank},
          {"lora_rank", spec.trainable.low_rank ? spec.lora.rank : 0},
          {"stream_segments", spec.stream_segments},
          {"activation_policy", spec.policy ? nn::name_of(*spec.policy) : "auto"},
          {"parameters", parameters.all},
          {"trained_parameters", parameters.trained},
          {"memory", spec.memory_bytes},
          {"budget", spec.budget()}};
}

}  // namespace

void MemoryTableSpec::validate() const {
  HICI_CHECK_USAGE(batch_size >= 1 && accumulation_steps >= 1,
                   "--per_device_train_batch_size and "
                   "--gradient_accumulation_steps: ",
                   batch_size, " and ", accumulation_steps, "; use 1 or more");
  HICI_CHECK_USAGE(budget() > 0, "--memory: ", human_bytes(memory_bytes), " is less than CUDA itself takes; use GiB");
  for (const int64_t length : lengths) {  // numbers of scores stay within 64 bits
    HICI_CHECK_USAGE(length <= kMostTokens / batch_size, "--model_max_length: ", length,
                     " with --per_device_train_batch_size ", batch_size, " is more than can be planned; use up to ",
                     kMostTokens, " tokens in all");
  }
  lora.validate();
  if (stream_segments) train::check_streamable(attention.kind, model.hici);
  if (attention.kind == nn::AttentionKind::kFull) return;
  for (const int64_t length : lengths) {
    config::check_divides("--num_chunks", model.hici.num_segments, "--model_max_length", length);
  }
}

int64_t MemoryTableSpec::budget() const {
  return static_cast<int64_t>((1 - train::kMargin) * static_cast<double>(memory_bytes - train::kContextBytes));
}

MemoryTable make_memory_table(const MemoryTableSpec& spec) {
  std::optional<config::HiciConfig> hici;
  if (spec.attention.has_slots) hici = spec.model.hici;
  const train::ParameterSizes parameters = train::count_parameters(spec.model.config, hici, spec.lora, spec.trainable);
  MemoryTable table{"", facts_of(spec, parameters)};
  for (const int64_t length : spec.lengths)
    table.json["rows"].push_back(row_of(spec, problem_of(spec, length, parameters)));
  table.text = detail::concat("memory of a training step in GiB, counted, not measured: ", spec.model.name, ", ",
                              human_count(static_cast<double>(parameters.all)), " parameters, ",
                              human_count(static_cast<double>(parameters.trained)), " trained, ", spec.attention.name,
                              " attention, batch ", spec.batch_size, spec.stream_segments ? ", segments streamed" : "",
                              "\n", human_bytes(spec.memory_bytes), " card, of which tensors may take ",
                              human_bytes(spec.budget()), " (CUDA's context and a margin of ",
                              fixed_digits(100 * train::kMargin, 0), " % are off)\n\n", table_text(table.json["rows"]));
  return table;
}

}  // namespace hici::bench
