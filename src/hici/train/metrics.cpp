// SPDX-License-Identifier: Apache-2.0
#include "hici/train/metrics.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/live_line.h"
#include "hici/base/log.h"
#include "hici/train/record_file.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace hici::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEvaluationLoss = "eval_loss";

std::string fixed(double value, const char* format) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

// What the record says of the steps before.
void take_in(const JsonLine& line, RunLosses& losses, std::map<int64_t, double>& evaluations) {
  const int64_t step = line.value.at("step").get<int64_t>();
  const auto loss = line.value.find("loss");
  if (loss != line.value.end() && loss->is_number()) losses.add(step, loss->get<double>());
  const auto evaluation = line.value.find(kEvaluationLoss);
  if (evaluation == line.value.end()) return;
  evaluations[step] = evaluation->is_number() ? evaluation->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

fs::path prepared_metrics_file(const fs::path& output_dir, int64_t resume_step, RunLosses& losses,
                               std::map<int64_t, double>& evaluations) {
  const fs::path file = output_dir / MetricsWriter::kFileName;
  for (const JsonLine& line : prepare_record_file(file, resume_step)) take_in(line, losses, evaluations);
  return file;
}

}  // namespace

MetricsWriter::MetricsWriter(const fs::path& output_dir, int64_t resume_step, int64_t total_steps)
    : resume_step_(resume_step),
      total_steps_(total_steps),
      lines_(prepared_metrics_file(output_dir, resume_step, losses_, evaluations_)),
      events_(output_dir, resume_step > 0 ? resume_step + 1 : 0) {}

double EvaluationMetrics::perplexity() const { return std::exp(loss); }

void RunLosses::add(int64_t step, double loss) {
  last = loss;
  if (lowest_step > 0 && loss >= lowest) return;
  lowest = loss;
  lowest_step = step;
}

void MetricsWriter::show(const StepMetrics& metrics) {
  losses_.add(metrics.step, metrics.loss);
  if (stderr_live_line().rewrites()) stderr_live_line().show(line_for_people(metrics));
}

void MetricsWriter::log(const StepMetrics& metrics) {
  constexpr double kBytesPerGib = 1024.0 * 1024.0 * 1024.0;
  losses_.add(metrics.step, metrics.loss);
  lines_.append(metrics_line(metrics));
  const auto scalar = [](const char* tag, double value) { return Scalar{tag, static_cast<float>(value)}; };
  events_.add_scalars(
      metrics.step,
      std::array{scalar("train/loss", metrics.loss), scalar("train/epoch", metrics.epoch),
                 scalar("train/grad_norm", metrics.grad_norm), scalar("train/hici_grad_norm", metrics.hici_grad_norm),
                 scalar("train/learning_rate", metrics.learning_rate),
                 scalar("train/hici_learning_rate", metrics.hici_learning_rate),
                 scalar("train/tokens", static_cast<double>(metrics.tokens)),
                 scalar("train/tokens_per_second", metrics.tokens_per_second),
                 scalar("train/peak_memory_gib", static_cast<double>(metrics.peak_memory_bytes) / kBytesPerGib)});
  if (stderr_live_line().rewrites()) {
    show(metrics);
  } else {
    log_info(line_for_people(metrics));
  }
}

void MetricsWriter::log_evaluation(const EvaluationMetrics& metrics) {
  evaluations_[metrics.step] = metrics.loss;
  lines_.append(metrics_line(metrics));
  events_.add_scalars(metrics.step, std::array{Scalar{"eval/loss", static_cast<float>(metrics.loss)},
                                               Scalar{"eval/perplexity", static_cast<float>(metrics.perplexity())}});
  log_info(evaluation_text(metrics, total_steps_));
}

void MetricsWriter::finish() const {
  stderr_live_line().finish();
  const int64_t lost = lines_.lost_records();
  if (lost == 0) return;
  log_warning(lines_.path().string(), ": ", counted(lost, "line"),
              " could not be written, so that curves of this run have gaps; make room on the disk");
}

std::string MetricsWriter::line_for_people(const StepMetrics& metrics) const {
  // The mean of this process's steps: a resumed run says nothing about the speed of the one before.
  const auto done = static_cast<double>(metrics.step - resume_step_);
  const auto left = static_cast<double>(total_steps_ - metrics.step);
  const double seconds_left = done > 0 ? metrics.seconds / done * left : std::numeric_limits<double>::quiet_NaN();
  return step_text(metrics, total_steps_, seconds_left);
}

bool has_evaluation(const fs::path& output_dir, int64_t step) {
  const std::vector<JsonLine> lines = read_json_lines(output_dir / MetricsWriter::kFileName);
  return std::any_of(lines.begin(), lines.end(), [&](const JsonLine& line) {
    return line.value.contains(kEvaluationLoss) && line.value.value("step", nlohmann::json()) == step;
  });
}

std::string metrics_line(const StepMetrics& metrics) {
  nlohmann::ordered_json line;
  line["step"] = metrics.step;
  line["epoch"] = metrics.epoch;
  line["loss"] = metrics.loss;
  line["grad_norm"] = metrics.grad_norm;
  line["hici_grad_norm"] = metrics.hici_grad_norm;
  line["learning_rate"] = metrics.learning_rate;
  line["hici_learning_rate"] = metrics.hici_learning_rate;
  line["tokens"] = metrics.tokens;
  line["tokens_per_second"] = metrics.tokens_per_second;
  line["peak_memory_bytes"] = metrics.peak_memory_bytes;
  line["seconds"] = metrics.seconds;
  if (metrics.slowest_rank) {
    line["slowest_rank"] = *metrics.slowest_rank;
    line["slowest_rank_time"] = metrics.slowest_rank_time;
  }
  return line.dump() + "\n";
}

std::string metrics_line(const EvaluationMetrics& metrics) {
  nlohmann::ordered_json line;
  line["step"] = metrics.step;
  line["epoch"] = metrics.epoch;
  line[kEvaluationLoss] = metrics.loss;
  line["eval_perplexity"] = metrics.perplexity();
  line["eval_tokens"] = metrics.targets;
  line["eval_seconds"] = metrics.seconds;
  return line.dump() + "\n";
}

std::string step_text(const StepMetrics& metrics, int64_t total_steps, double seconds_left) {
  std::string text = "step " + std::to_string(metrics.step) + "/" + std::to_string(total_steps);
  text += "  loss " + fixed(metrics.loss, "%.4f") + "  grad " + fixed(metrics.grad_norm, "%.3g");
  if (metrics.has_hici) text += "  hici " + fixed(metrics.hici_grad_norm, "%.3g");
  text += "  " + human_count(metrics.tokens_per_second) + " tokens/s";
  const double behind = (metrics.slowest_rank_time - 1) * 100;
  if (metrics.slowest_rank && behind >= 1)
    text += hici::detail::concat("  slowest rank ", *metrics.slowest_rank, " +", fixed(behind, "%.0f"), " %");
  text += "  " + human_bytes(metrics.peak_memory_bytes) + "  " + human_duration(seconds_left) + " left";
  return text;
}

std::string evaluation_text(const EvaluationMetrics& metrics, int64_t total_steps) {
  return hici::detail::concat("step ", metrics.step, "/", total_steps, "  evaluation loss ",
                              fixed(metrics.loss, "%.4f"), "  perplexity ", fixed(metrics.perplexity(), "%.4g"), "  ",
                              human_count(static_cast<double>(metrics.targets)), " target tokens in ",
                              short_duration(metrics.seconds));
}

}  // namespace hici::train
