// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/model_bench.h"

#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/text_table.h"
#include "hici/bench/trace.h"
#include "hici/device/device.h"
#include "hici/device/profile.h"

#include <ATen/Context.h>

#include <algorithm>

namespace hici::bench {
namespace {

// A case, or the reason why it is gone.
struct Contestant {
  nn::AttentionKind attention = nn::AttentionKind::kHici;
  const parallel::World* world = nullptr;
  std::unique_ptr<ModelCase> model;
  nlohmann::json row;
};

bool is_measured(const BenchSpec& spec, nn::AttentionKind kind) {
  return std::find(spec.attentions.begin(), spec.attentions.end(), kind) != spec.attentions.end();
}

std::vector<BenchColumn> model_columns(const BenchSpec& spec, BenchWork work) {
  std::vector<BenchColumn> columns{{"attention", "/attention", 1, true}};
  if (work == BenchWork::kStep) columns.push_back({"activations", "/activations", 1, true});
  for (BenchColumn column : std::vector<BenchColumn>{{"tokens", "/seq_len"},
                                                     {"tokens/s", "/tokens_per_second"},
                                                     {"ms", "/ms"},
                                                     {"min", "/ms_min"},
                                                     {"max", "/ms_max"},
                                                     {"TFLOP/s", "/tflops_executed"},
                                                     {"of model", "/tflops_model"},
                                                     {"% of matrix", "/matrix_rate_percent"},
                                                     {"peak GiB", "/peak_memory_bytes", kGib}}) {
    columns.push_back(std::move(column));
  }
  if (work == BenchWork::kStep) columns.push_back({"planned GiB", "/planned_memory_bytes", kGib});
  if (is_measured(spec, nn::AttentionKind::kS2)) columns.push_back({"vs s2 %", "/versus_s2_percent"});
  if (spec.processes() > 1) {
    columns.insert(columns.begin() + 1, {"processes", "/processes"});
    columns.push_back({"of alone %", "/efficiency_percent"});
    columns.push_back({"predicted %", "/predicted_efficiency_percent"});
    columns.push_back({"ms not hidden", "/exposed_ms"});
  }
  if (!spec.shows_parts) return columns;
  for (const char* part : device::kPartNames) {
    const bool is_update = std::string(part) == "optimizer";
    if (is_update && (work == BenchWork::kEval || !spec.with_optimizer)) continue;
    columns.push_back({std::string(part) + " %", std::string("/parts_percent/") + part});
  }
  return columns;
}

// `action` on a case that is still in; without room it is out and says so. Everything it held is free afterwards.
template <typename Action>
void attempt(Contestant& contestant, const BenchSpec& spec, int64_t length, Action&& action) {
  if (!contestant.row.is_null()) return;
  if (spec.processes() > 1) {  // where one has no room none goes on
    action(contestant);
    if (contestant.model->fits()) return;
    contestant.model.reset();
    contestant.row = {{"status", kOutOfMemory},
                      {"seq_len", length},
                      {"processes", contestant.world->size()},
                      {"attention", nn::attention_kind_name(contestant.attention)}};
    return;
  }
  if (has_room_for([&] { action(contestant); })) return;
  contestant.model.reset();
  contestant.row = {
      {"status", kOutOfMemory}, {"seq_len", length}, {"attention", nn::attention_kind_name(contestant.attention)}};
  device::release_cached_memory(spec.device);
}

void trace(const BenchSpec& spec, int64_t length, Contestant& contestant) {
  std::string name = detail::concat(nn::attention_kind_name(contestant.attention), "-", length);
  if (spec.processes() > 1)
    name += detail::concat(contestant.world->size() == 1 ? "-alone" : "-together", "-rank", spec.world->rank());
  name += ".json";
  write_trace(spec.device, std::filesystem::path(spec.trace_folder) / name, [&] { contestant.model->warm_up(); });
}

void run_group(const BenchSpec& spec, BenchWork work, int64_t length, std::vector<Contestant> group,
               const MachineRates& rates, BenchReport& report) {
  {
    WeightPool pool(spec.device, spec.dtype);
    auto each = [&](const auto& action) {
      for (Contestant& contestant : group) attempt(contestant, spec, length, action);
    };
    each(
        [&](Contestant& c) { c.model = std::make_unique<ModelCase>(spec, work, length, c.attention, pool, *c.world); });
    int64_t on_device = pool.bytes();
    each([&](Contestant& c) { on_device += c.model->own_bytes(); });
    each([&](Contestant& c) {
      c.model->set_bytes_of_others(spec.device.is_cpu() ? 0
                                                        : on_device - c.model->own_bytes() - c.model->shared_bytes());
    });
    for (int64_t i = 0; i < spec.warmup; ++i) each([](Contestant& c) { c.model->warm_up(); });
    // A GPU has room for the activations of one kind: each takes its memory anew, in a run that is not timed.
    const bool shares_gpu = spec.device.is_cuda() && group.size() > 1;
    for (int64_t i = 0; i < spec.repetitions; ++i) {
      each([&](Contestant& c) {
        if (shares_gpu) c.model->warm_up();
        c.model->measure();
        if (!shares_gpu) return;
        c.model->rest();
        device::release_cached_memory(spec.device);
      });
    }
    if (!spec.trace_folder.empty()) each([&](Contestant& c) { trace(spec, length, c); });
    each([&](Contestant& c) { c.row = c.model->finish(rates); });
    for (Contestant& contestant : group) report.rows.push_back(std::move(contestant.row));
    group.clear();
  }
  device::release_cached_memory(spec.device);
}

const nlohmann::json* find_row(const BenchReport& report, const nlohmann::json& length, const std::string& attention) {
  for (const nlohmann::json& row : report.rows) {
    if (row["status"] == kOk && row["seq_len"] == length && row["attention"] == attention) return &row;
  }
  return nullptr;
}

// Rows come in pairs: a process alone with its share, then all together.
void add_efficiency(BenchReport& report) {
  const nlohmann::json* alone = nullptr;
  for (nlohmann::json& row : report.rows) {
    if (row["processes"] == 1) {
      alone = row["status"] == kOk ? &row : nullptr;
      continue;
    }
    if (row["status"] != kOk || alone == nullptr) continue;
    const double each = row["tokens_per_second"].get<double>() / row["processes"].get<double>();
    row["tokens_per_second_each"] = each;
    const double ms_alone = (*alone)["ms"].get<double>();
    row["efficiency_percent"] = each / (*alone)["tokens_per_second"].get<double>() * 100;
    row["exposed_ms"] = row["ms"].get<double>() - ms_alone;
    if (!row.contains("predicted_efficiency_percent")) continue;
    // With the time that was measured alone in place of a rate of products. What offloading shows is in it already.
    const double more = row["predicted_exposed_ms"].get<double>() - (*alone)["predicted_exposed_ms"].get<double>();
    row["predicted_efficiency_percent"] = ms_alone / (ms_alone + std::max(0.0, more)) * 100;
  }
}

// Against LongLoRA's attention, and what the hierarchy takes of its step, where both sides were measured.
void add_comparisons(BenchReport& report) {
  for (nlohmann::json& row : report.rows) {
    const nlohmann::json* s2 = find_row(report, row["seq_len"], "s2");
    if (row["status"] != kOk || s2 == nullptr) continue;
    row["versus_s2_percent"] = (row["ms"].get<double>() / (*s2)["ms"].get<double>() - 1) * 100;
  }
  for (nlohmann::json& row : report.rows) {
    const nlohmann::json* plain = find_row(report, row["seq_len"], "segments");
    if (row["status"] != kOk || row["attention"] != "hici" || plain == nullptr) continue;
    const double share = (1 - (*plain)["ms"].get<double>() / row["ms"].get<double>()) * 100;
    row["hici_own_percent"] = share;
    report.notes.push_back(detail::concat(row["seq_len"].get<int64_t>(),
                                          " tokens: HiCI's own parts (local construction, global integration, slots in "
                                          "attention) are ",
                                          fixed_digits(share, 1), " % of its time"));
  }
}

nlohmann::json model_facts(const BenchSpec& spec, BenchWork work, const MachineRates& rates) {
  nlohmann::json facts = common_facts(work == BenchWork::kStep ? "bench step" : "bench eval", spec, rates);
  facts["batch_size"] = spec.batch_size;
  facts["num_segments"] = spec.model.hici.num_segments;
  facts["causal_mode"] = name_of(spec.model.hici.causal_mode);
  facts["lora_rank"] = spec.lora.rank;
  if (work == BenchWork::kStep)
    facts["activation_policy"] = spec.activation_policy ? name_of(*spec.activation_policy) : "auto";
  facts["base_format"] = name_of(spec.base_format);
  if (work == BenchWork::kStep) facts["gradient_accumulation_steps"] = spec.accumulation_steps;
  if (spec.processes() > 1) {
    facts["processes"] = spec.processes();
    facts["segment_parallel"] = spec.segment_processes();
    facts["shard"] = name_of(spec.sharding.kind);
    facts["shard_group_size"] = spec.sharding.group_size;
  }
  facts["offload_weights"] = spec.sharding.offload_weights;
  facts["offload_optimizer"] = spec.sharding.offload_optimizer;
  facts["memory_limit"] = spec.memory_limit;
  facts["with_optimizer"] = work == BenchWork::kStep && spec.with_optimizer;
  return facts;
}

std::string title_of(const BenchSpec& spec, BenchWork work) {
  std::string update = spec.with_optimizer ? ", clipping, AdamW" : "";
  if (spec.accumulation_steps > 1) update += detail::concat(", ", spec.accumulation_steps, " micro-batches");
  const std::string what =
      work == BenchWork::kStep
          ? detail::concat("training step (forward, backward, accumulation", update, "), ", "activations ",
                           spec.activation_policy ? name_of(*spec.activation_policy) : "auto")
          : std::string("evaluation (forward, scores of all tokens)");
  // Full attention knows no segments, and no other kind than HiCI a causal mode.
  const bool has_segments = std::any_of(spec.attentions.begin(), spec.attentions.end(),
                                        [](nn::AttentionKind kind) { return kind != nn::AttentionKind::kFull; });
  std::string title =
      detail::concat(what, matrices_text(spec.base_format, ", "), ": ", spec.model.name, ", batch ", spec.batch_size);
  if (has_segments) title += ", " + counted(spec.model.hici.num_segments, "segment");
  if (is_measured(spec, nn::AttentionKind::kHici))
    title += detail::concat(", causal mode ", name_of(spec.model.hici.causal_mode));
  if (spec.processes() > 1)
    title += detail::concat(", ", spec.processes(), " processes, ", spec.segment_processes(),
                            " for each sequence, shard ", name_of(spec.sharding.kind));
  title += offloading_text(spec.sharding);
  if (spec.memory_limit > 0) title += ", within " + human_bytes(spec.memory_limit);
  return detail::concat(title, ", LoRA rank ", spec.lora.rank);
}

}  // namespace

BenchReport bench_model(const BenchSpec& spec, BenchWork work) {
  at::manual_seed(1);
  if (spec.memory_limit > 0) device::limit_memory(spec.device, spec.memory_limit - plan::kContextBytes);
  const MachineRates rates = measure_machine(spec.device, spec.dtype, spec.pause_ms);
  BenchReport report{model_facts(spec, work, rates), title_of(spec, work), model_columns(spec, work), {}, {}};
  const parallel::World alone;
  for (const int64_t length : spec.lengths) {
    std::vector<Contestant> group;
    for (const nn::AttentionKind& attention : spec.attentions) {
      group.push_back({attention, &alone, nullptr, nullptr});
      if (spec.processes() > 1) group.push_back({attention, spec.world, nullptr, nullptr});
      // Quantised weights belong to one kind: two sets of them may not fit.
      const bool takes_turns = spec.base_format == config::BaseFormat::kModel || !spec.device.is_cuda();
      if (takes_turns && &attention != &spec.attentions.back()) continue;
      log_info("measuring ", counted(length, "token"), ", ",
               takes_turns ? "all kinds in turn" : nn::attention_kind_name(attention));
      run_group(spec, work, length, std::move(group), rates, report);
      group.clear();
    }
  }
  if (spec.processes() > 1) {
    add_efficiency(report);
  } else {
    add_comparisons(report);
  }
  return report;
}

}  // namespace hici::bench
