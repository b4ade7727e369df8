// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/memory_table.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/text_table.h"
#include "hici/config/divides.h"
#include "hici/ops/types.h"
#include "hici/plan/make_problem.h"
#include "hici/plan/plan_alternatives.h"
#include "hici/train/place_weights.h"
#include "hici/train/segment_streaming.h"

namespace hici::bench {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 26;
std::string gib_text(int64_t bytes) { return fixed_digits(static_cast<double>(bytes) / kGib, 2); }

plan::PlanProblem problem_of(const MemoryTableSpec& spec, int64_t length, const plan::ParameterSizes& parameters) {
  plan::PlanProblem stated;
  stated.model = spec.model.config;
  stated.shape.batch = spec.batch_size;
  stated.shape.tokens = length;
  stated.shape.attention = spec.attention;
  if (spec.attention != nn::AttentionKind::kFull) stated.shape.segment_length = length / spec.num_segments(length);
  if (spec.attention == nn::AttentionKind::kHici) stated.shape.hici = spec.model.hici;
  if (spec.trainable.low_rank) stated.shape.lora_rank = spec.lora.rank;
  stated.dtype = spec.dtype;
  stated.stream_segments = spec.stream_segments;
  stated.accumulation_steps = spec.accumulation_steps;
  stated.trainable = spec.trainable;
  stated.lora = spec.lora;
  stated.mesh = spec.mesh;
  stated.sharding = spec.sharding;
  stated.base_format = spec.base_format;
  // The GPU is not the one of this machine, if it has one.
  const auto device = spec.on_gpu ? std::nullopt : std::optional<at::Device>(at::kCPU);
  return plan::make_problem(std::move(stated), parameters, device);
}

// What `hici train` chooses: on a CPU it keeps everything unless told otherwise.
std::optional<nn::ActivationPolicy> choice_of(const MemoryTableSpec& spec) {
  return spec.on_gpu || spec.policy ? spec.policy : nn::ActivationPolicy::kKeep;
}

plan::MemoryPlan plan_of(const MemoryTableSpec& spec, const plan::PlanProblem& problem) {
  if (const auto choice = choice_of(spec)) return plan_memory(problem, everywhere(problem, *choice));
  if (auto plan = fit_memory(problem, spec.budget())) return *plan;
  return leanest_plan(problem);
}

nlohmann::json what_fits(const MemoryTableSpec& spec, const plan::PlanProblem& problem) {
  nlohmann::json list = nlohmann::json::array();
  for (const plan::Alternative& alternative : alternatives_that_fit(problem, choice_of(spec), spec.budget())) {
    const int64_t total = alternative.plan.peak.groups.total() + plan::process_bytes(spec.on_gpu);
    list.push_back({{"options", alternative.options},
                    {"total", total},
                    {"host", alternative.plan.host},
                    {"policies", nn::describe(alternative.plan.policies, alternative.plan.policies.size())}});
  }
  return list;
}

nlohmann::json traffic_of(const MemoryTableSpec& spec, const plan::PlanProblem& problem,
                          const nn::ActivationPolicies& policies) {
  const plan::StepTraffic traffic = count_step_traffic(problem, policies);
  const plan::StepPrediction prediction = predict_step(problem, policies, spec.rates);
  return {{"gradients", traffic.gradients},
          {"weights", traffic.weights},
          {"frozen", traffic.frozen},
          {"slots", traffic.slots},
          {"host", traffic.host},
          {"compute_ms", prediction.compute_seconds * 1e3},
          {"exposed_ms", prediction.exposed_seconds * 1e3},
          {"efficiency_percent", prediction.efficiency() * 100}};
}

nlohmann::json row_of(const MemoryTableSpec& spec, const plan::PlanProblem& problem) {
  const plan::MemoryPlan plan = plan_of(spec, problem);
  const plan::MemoryGroups& groups = plan.peak.groups;
  const bool fits = groups.total() <= spec.budget();
  nlohmann::json row{{"model_max_length", problem.shape.tokens},
                     {"weights", groups.weights},
                     {"optimizer", groups.optimizer},
                     {"gradients", groups.gradients},
                     {"activations", groups.activations},
                     {"layer_at_work", groups.working},
                     {"loss", groups.loss},
                     {"other", groups.other + plan::process_bytes(spec.on_gpu)},
                     {"total", groups.total() + plan::process_bytes(spec.on_gpu)},
                     {"host", plan.host},
                     {"peak_moment", plan.peak.name},
                     {"policies", nn::describe(plan.policies, plan.policies.size())},
                     {"recomputed_share", recomputed_share(problem, plan.policies)},
                     {"fits", fits}};
  if (spec.mesh.world() > 1 || plan::count_step_traffic(problem, plan.policies).host > 0)
    row["traffic"] = traffic_of(spec, problem, plan.policies);
  if (fits) return row;
  row["what_fits"] = what_fits(spec, problem);
  row["least_memory"] = least_memory(problem);
  row["least_memory_host"] = leanest_plan(problem).host;
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
    for (const auto& [heading, key] : columns) line.push_back(gib_text(row[key]));
    cells.push_back(std::move(line));
  }
  return aligned_text(cells, 4);
}

// What one process sends in a step, and what of the step nothing hides.
std::string traffic_text(const MemoryTableSpec& spec, const nlohmann::json& rows) {
  std::vector<std::vector<std::string>> cells{
      {"context", "gradients", "weights", "frozen", "slots", "host", "compute ms", "not hidden ms", "efficiency %"}};
  for (const nlohmann::json& row : rows) {
    if (!row.contains("traffic")) return "";
    const nlohmann::json& traffic = row["traffic"];
    std::vector<std::string> line{std::to_string(row["model_max_length"].get<int64_t>())};
    for (const char* key : {"gradients", "weights", "frozen", "slots", "host"})
      line.push_back(fixed_digits(traffic[key].get<double>() / 1e9, 2));
    for (const char* key : {"compute_ms", "exposed_ms", "efficiency_percent"})
      line.push_back(fixed_digits(traffic[key].get<double>(), 1));
    cells.push_back(std::move(line));
  }
  const auto gigabits = [](double bytes_per_second) { return shortest_number(bytes_per_second * 8e-9); };
  return detail::concat(
      "\nGB (10^9 bytes) that a process sends in a step, and that come from host memory and go there; expected with ",
      gigabits(spec.rates.bytes_per_second), " Gbit/s to other GPUs (", gigabits(spec.rates.group_bytes_per_second),
      " for frozen weights), ", gigabits(spec.rates.host_bytes_per_second), " to host memory, and ",
      shortest_number(spec.rates.flops_per_second * 1e-12), " TFLOP/s\n", aligned_text(cells, 1));
}

// The changes with which it would fit, a line each, and the memory that it takes without a change.
std::string what_fits_text(const MemoryTableSpec& spec, const nlohmann::json& row) {
  std::vector<std::vector<std::string>> cells{{"what fits", "policies", "total", "host"}};
  for (const nlohmann::json& one : row["what_fits"])
    cells.push_back({one["options"], one["policies"], gib_text(one["total"]), gib_text(one["host"])});
  cells.push_back({spec.on_gpu ? "a GPU with as many GiB" : "as many GiB of memory",
                   spec.on_gpu ? "offload" : "recompute", gib_text(row["least_memory"]),
                   gib_text(row["least_memory_host"])});
  return detail::concat("\n", row["model_max_length"].get<int64_t>(), " does not fit: ", gib_text(row["total"]), " of ",
                        gib_text(spec.limit()), " GiB\n", aligned_text(cells, 2));
}

// What the column "total" may be, and why.
std::string limit_text(const MemoryTableSpec& spec) {
  return detail::concat(gib_text(spec.memory_bytes), spec.on_gpu ? " GiB card" : " GiB of memory",
                        ": the total may be up to ", gib_text(spec.limit()), "; in \"other\" are ",
                        gib_text(plan::process_bytes(spec.on_gpu)), " that ",
                        spec.on_gpu ? "CUDA's context takes" : "the program itself takes", ", of the rest ",
                        fixed_digits(100 * plan::kMargin, 0), " % stay free");
}

// Why 8 bits take what bfloat16 takes.
std::string orders_text(const MemoryTableSpec& spec) {
  if (spec.base_format != config::BaseFormat::kFp8) return "";
  return detail::concat(
      "\nin 8 bits a frozen matrix is there twice, by rows for the forward and by columns for the backward: 2 bytes a "
      "weight, ",
      at::elementSize(spec.dtype) == 2 ? "as in " : "half of ", ops::dtype_name(spec.dtype),
      "; evaluation and generation have it once");
}

std::string processes_text(const MemoryTableSpec& spec) {
  std::string text;
  if (spec.mesh.world() > 1) {
    text = detail::concat(", one of ", spec.mesh.world(), " processes, ", spec.mesh.segments,
                          " for each sequence, shard ", name_of(spec.sharding.kind));
    if (spec.sharding.group_size > 0) text += detail::concat(" in groups of ", spec.sharding.group_size);
  }
  return text + offloading_text(spec.sharding);
}

nlohmann::json facts_of(const MemoryTableSpec& spec, const plan::ParameterSizes& parameters) {
  return {{"command", "plan"},
          {"model", spec.model.name},
          {"attention", nn::attention_kind_name(spec.attention)},
          {"num_segments", spec.model.hici.num_segments},
          {"segment_length", spec.segment_length},
          {"causal_mode", name_of(spec.model.hici.causal_mode)},
          {"batch_size", spec.batch_size},
          {"gradient_accumulation_steps", spec.accumulation_steps},
          {"dtype", ops::dtype_name(spec.dtype)},
          {"low_rank_training", spec.trainable.low_rank},
          {"base_format", name_of(spec.base_format)},
          {"lora_rank", spec.trainable.low_rank ? spec.lora.rank : 0},
          {"stream_segments", spec.stream_segments},
          {"activation_policy", spec.policy ? name_of(*spec.policy) : "auto"},
          {"processes", spec.mesh.world()},
          {"segment_parallel", spec.mesh.segments},
          {"shard", name_of(spec.sharding.kind)},
          {"shard_group_size", spec.sharding.group_size},
          {"offload_weights", spec.sharding.offload_weights},
          {"offload_optimizer", spec.sharding.offload_optimizer},
          {"link_bytes_per_second", spec.rates.bytes_per_second},
          {"group_link_bytes_per_second", spec.rates.group_bytes_per_second},
          {"host_bytes_per_second", spec.rates.host_bytes_per_second},
          {"gpu_flops_per_second", spec.rates.flops_per_second},
          {"parameters", parameters.all},
          {"trained_parameters", parameters.trained},
          {"memory", spec.memory_bytes},
          {"device", spec.on_gpu ? "cuda" : "cpu"},
          {"budget", spec.budget()},
          {"limit", spec.limit()}};
}

}  // namespace

void MemoryTableSpec::validate() const {
  HICI_CHECK_USAGE(batch_size >= 1 && accumulation_steps >= 1, "`batch_size` and `accumulation_steps`: ", batch_size,
                   " and ", accumulation_steps, "; use 1 or more");
  HICI_CHECK_USAGE(budget() > 0, "`memory`: ", human_bytes(memory_bytes), " is less than ",
                   on_gpu ? "CUDA" : "the program", " itself takes; use more, as in 80GiB");
  for (const int64_t length : lengths) {  // numbers of scores stay within 64 bits
    HICI_CHECK_USAGE(length <= kMostTokens / batch_size, "`sequence_length`: ", length, " with `batch_size` ",
                     batch_size, " is more than can be planned; use up to ", kMostTokens, " tokens in all");
  }
  lora.validate();
  if (stream_segments) train::check_streamable(attention, model.hici);
  train::weight_processes(sharding, mesh.world());
  HICI_CHECK_USAGE(trainable.low_rank || !sharding.moves_frozen(),
                   "`low_rank_training` False: nothing is frozen that `shard` full or `offload` weights could move");
  if (mesh.segments > 1) {
    nn::check_stays_in_segments(attention, "`segment_parallel`");
    for (const int64_t length : lengths)
      parallel::check_enough_segments(mesh.segments, num_segments(length), "`segment_parallel`");
  }
  if (attention == nn::AttentionKind::kFull) return;
  for (const int64_t length : lengths)
    config::check_segments(segment_length, model.hici.num_segments, "`sequence_length`", length);
}

MemoryTable make_memory_table(const MemoryTableSpec& spec) {
  std::optional<config::HiciConfig> hici;
  if (spec.attention == nn::AttentionKind::kHici) hici = spec.model.hici;
  const plan::ParameterSizes parameters = plan::count_parameters(spec.model.config, hici, spec.lora, spec.trainable);
  MemoryTable table{"", facts_of(spec, parameters)};
  for (const int64_t length : spec.lengths)
    table.json["rows"].push_back(row_of(spec, problem_of(spec, length, parameters)));
  table.text = detail::concat("memory of a training step in GiB, counted, not measured: ", spec.model.name, ", ",
                              human_count(static_cast<double>(parameters.all)), " parameters, ",
                              human_count(static_cast<double>(parameters.trained)), " trained, ",
                              nn::attention_kind_name(spec.attention), " attention, batch ", spec.batch_size,
                              matrices_text(spec.base_format, ", "), spec.stream_segments ? ", segments streamed" : "",
                              processes_text(spec), "\n", limit_text(spec), orders_text(spec), "\n\n",
                              table_text(table.json["rows"]), traffic_text(spec, table.json["rows"]));
  for (const nlohmann::json& row : table.json["rows"]) {
    if (!row["fits"]) table.text += what_fits_text(spec, row);
  }
  return table;
}

}  // namespace hici::bench
