// SPDX-License-Identifier: Apache-2.0
#include "hici/io/merge_check.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/memory.h"
#include "hici/base/split_mix.h"
#include "hici/config/parameter_names.h"
#include "hici/config/rope.h"
#include "hici/io/row_pieces.h"
#include "hici/ops/rms_norm.h"
#include "hici/text/tokenizer.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <utility>

namespace hici::io {
namespace {

// B batch (1), T tokens, C hidden, V vocabulary

constexpr const char* kTokenEmbedding = config::kEmbeddingName;
constexpr const char* kFinalNorm = "model.norm.weight";
constexpr int64_t kProbeTokens = 64;
constexpr int64_t kMaxProbeSegments = 8;
constexpr int64_t kHeadRows = 4096;  // of the output head in the type of the check, at a time
constexpr double kBoundFactor = 8;
// Two ways to the same sums differ by the rounding of the type that they are done in.
constexpr double kArithmeticErrors = 1024;

constexpr const char* kProbeText =
    "In the beginning was the word, and after it came a very long document. Readers of long documents remember the "
    "start when they reach the end; they keep a summary of each chapter (who, where, what), and a summary of the "
    "summaries. 12 chapters of 345 pages make 4140 pages: def pages(n): return 345 * n\n";

// Half the distance between two neighbours, relative to the number.
double unit_roundoff(at::ScalarType dtype) {
  switch (dtype) {
    case at::kBFloat16:
      return 0x1p-8;
    case at::kHalf:
      return 0x1p-11;
    case at::kFloat:
      return 0x1p-24;
    default:
      return 0x1p-53;
  }
}

// Below these a number has fewer digits: half the distance between the smallest ones.
double smallest_error(at::ScalarType dtype) { return dtype == at::kHalf ? 0x1p-25 : 0; }

// One model whose weights are there layer by layer, in the type of the check.
class LayerByLayer {
 public:
  LayerByLayer(const OpenedModel& opened, LoadedModel loaded, bool with_hici)
      : opened_(opened), loaded_(std::move(loaded)), with_hici_(with_hici) {
    loaded_.model->visit_parameters([&](const std::string& name, at::Tensor& t) {
      if (name == kFinalNorm) norm_ = &t;
    });
    fill(kFinalNorm, *norm_);
  }

  nn::CausalLm& model() { return *loaded_.model; }
  const config::HiciConfig& hici() const { return loaded_.hici; }
  // Of the module of a weight with factors.
  double lora_scale(const std::string& module) const { return loaded_.lora->shape_of(module).scale; }
  at::Tensor& norm() { return *norm_; }
  const TensorSource& source_of(const std::string& name) const { return *opened_.source_of(name); }
  std::string head_name() { return model().config().tie_word_embeddings ? kTokenEmbedding : config::kHeadName; }

  // [1, T, C]
  at::Tensor embed(const at::Tensor& tokens_T) const {
    return source_of(kTokenEmbedding).read(kTokenEmbedding).index_select(0, tokens_T).to(loaded_.dtype).unsqueeze(0);
  }
  void load_layer(size_t i) {
    visit_layer(i, [&](const std::string& name, at::Tensor& t) { fill(name, t); });
  }
  void drop_layer(size_t i) {
    visit_layer(i, [](const std::string&, at::Tensor& t) { t = at::empty(t.sizes(), t.options().device(at::kMeta)); });
  }
  // Without the HiCI modules when they are not compared.
  void visit_layer(size_t i, const nn::ParameterVisitor& visit) {
    model().visit_layer(i, [&](const std::string& name, at::Tensor& t) {
      if (with_hici_ || !config::is_hici_parameter(name)) visit(name, t);
    });
  }
  nn::AttentionInputs inputs(nn::AttentionKind kind, int64_t length, int64_t segment_length) {
    nn::AttentionInputs out;
    if (kind == nn::AttentionKind::kHici) out.kind = nn::HierarchicalInputs{{segment_length}};
    // The model's own frequencies would stand on the meta device, where its embedding is.
    const config::ModelConfig& config = model().config();
    out.common.rotary =
        ops::make_rotary_tables(config::rope_inverse_frequencies(config.rope, config.head_dim),
                                config::rope_attention_scale(config.rope), 0, length, loaded_.dtype, at::kCPU);
    return out;
  }

 private:
  void fill(const std::string& name, at::Tensor& t) const {
    const TensorSource* source = opened_.source_of(name);
    HICI_ASSERT(source != nullptr || config::is_lora_parameter(name), "no source of ", name);
    t = source != nullptr ? read_parameter(*source, name, t, loaded_.dtype, at::kCPU)
                          : at::zeros(t.sizes(), at::TensorOptions(loaded_.dtype));
  }

  const OpenedModel& opened_;
  LoadedModel loaded_;
  bool with_hici_;
  at::Tensor* norm_ = nullptr;
};

// Hidden states of one kind of attention through the three models.
struct Probe {
  nn::AttentionKind kind;
  int64_t segment_length;
  at::Tensor reference_BTC, merged_BTC, changed_BTC;
  at::Tensor merged_logits;  // of the rows of the head in hand
  Probe(nn::AttentionKind attention, int64_t segment) : kind(attention), segment_length(segment) {}

  double difference = 0, changed = 0, norm = 0, max_abs = 0, max_logit = 0;  // squares, until all rows are seen
};

class Comparison {
 public:
  explicit Comparison(const MergeCheckRequest& request)
      : request_(request),
        dtype_(request.stored == at::kFloat || request.stored == at::kDouble ? at::kDouble : at::kFloat),
        merged_request_(merged_request()),
        merged_opened_(request.open(merged_request_)),
        reference_(request.opened, describe_model(reference_request(), request.opened, request.hici),
                   request.with_hici),
        merged_(merged_opened_, describe_model(merged_request_, merged_opened_, merged_opened_.stored_hici()),
                request.with_hici),
        generator_(at::make_generator<at::CPUGeneratorImpl>(0)) {}

  MergeCheck run() {
    const at::NoGradGuard no_grad;
    make_probes();
    const size_t layers = reference_.model().layers().size();
    for (size_t i = 0; i < layers; ++i) {
      run_layer(i);
      if (request_.progress) request_.progress(layers, i + 1);
    }
    compare_logits();
    return conclude();
  }

 private:
  ModelRequest reference_request() const {
    ModelRequest out = request_.model;
    out.dtype = dtype_;
    return out;
  }

  ModelRequest merged_request() const {
    ModelRequest out;
    out.base = request_.merged;
    out.says_notes = false;
    out.dtype = dtype_;
    return out;
  }

  void make_probes() {
    const int64_t segments = std::min(reference_.hici().num_segments, kMaxProbeSegments);
    const int64_t segment_length = std::max<int64_t>(1, kProbeTokens / segments), length = segments * segment_length;
    const at::Tensor tokens_T = probe_tokens(length);
    result_.tokens = length;
    probes_.emplace_back(nn::AttentionKind::kFull, 0);
    if (request_.with_hici) probes_.emplace_back(nn::AttentionKind::kHici, segment_length);
    compare_rows(kTokenEmbedding, kTokenEmbedding, [](const at::Tensor&, at::Tensor&) {});
    const at::Tensor reference = reference_.embed(tokens_T), merged = merged_.embed(tokens_T);
    for (Probe& probe : probes_) {
      probe.reference_BTC = reference;
      probe.merged_BTC = merged;
      probe.changed_BTC = merged.clone();
      change(kTokenEmbedding, probe.changed_BTC);
    }
  }

  at::Tensor probe_tokens(int64_t length) {
    const int64_t vocab = reference_.model().config().vocab_size;
    std::vector<int64_t> ids;
    if (text::has_text_support() && is_there(request_.tokenizer / "tokenizer.json"))
      for (const uint32_t id : text::Tokenizer::from_path(request_.tokenizer, 1).encode(kProbeText, true))
        ids.push_back(id);
    result_.is_text = !ids.empty() && *std::max_element(ids.begin(), ids.end()) < vocab;
    if (!result_.is_text) return at::randint(vocab, {length}, generator_, at::TensorOptions(at::kLong));
    for (size_t i = 0; ids.size() < static_cast<size_t>(length); ++i) ids.push_back(ids[i]);
    return at::tensor(ids, at::TensorOptions(at::kLong)).narrow(0, 0, length);
  }

  at::Tensor rounding_error(const at::Tensor& values) const {
    return request_.rounding_error ? request_.rounding_error(values)
                                   : values.abs().mul_(unit_roundoff(request_.stored));
  }

  // Every number by up to the rounding error of the stored type, by chance, if the weight was rounded.
  void change(const std::string& name, at::Tensor& values) {
    if (request_.rounded.count(name) == 0) return;
    const at::Tensor all = with_rows(values);
    for_row_pieces(all, [&](int64_t row, int64_t rows) {
      at::Tensor piece = all.narrow(0, row, rows);
      piece.addcmul_(rounding_error(piece), chance(piece));
    });
  }

  // Numbers from -1 to 1, others at each call.
  at::Tensor chance(const at::Tensor& like) {
    at::Tensor out = at::empty(like.sizes(), like.options().dtype(at::kFloat));
    float* const to = out.mutable_data_ptr<float>();
    const uint64_t first = drawn_;
    drawn_ += static_cast<uint64_t>(like.numel());
    at::parallel_for(0, like.numel(), kPieceValues / 8, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const uint64_t bits = split_mix((first + static_cast<uint64_t>(i)) * kSplitMixStep) >> 40;
        to[i] = static_cast<float>(bits) * 0x1p-23F - 1;
      }
    });
    return out.to(like.scalar_type());
  }

  void run_layer(size_t i) {
    reference_.load_layer(i);
    merged_.load_layer(i);
    compare_weights(i);
    for (Probe& probe : probes_) {
      const int64_t length = probe.merged_BTC.size(1);
      auto forward = [&](LayerByLayer& model, const at::Tensor& x_BTC) {
        return model.model().layers()[i].forward(x_BTC, model.inputs(probe.kind, length, probe.segment_length));
      };
      probe.reference_BTC = forward(reference_, probe.reference_BTC);
      probe.merged_BTC = forward(merged_, probe.merged_BTC);
    }
    reference_.drop_layer(i);
    merged_.visit_layer(i, [&](const std::string& name, at::Tensor& t) { change(name, t); });
    for (Probe& probe : probes_)
      probe.changed_BTC = merged_.model().layers()[i].forward(
          probe.changed_BTC, merged_.inputs(probe.kind, probe.changed_BTC.size(1), probe.segment_length));
    merged_.drop_layer(i);
    release_freed_memory();
  }

  void compare_weights(size_t i) {
    std::map<std::string, at::Tensor> exact;
    reference_.visit_layer(i, [&](const std::string& name, at::Tensor& t) { exact[name] = t; });
    merged_.visit_layer(i, [&](const std::string& name, at::Tensor& stored) {
      const at::Tensor base = exact.at(name);
      const std::string module = name.substr(0, name.rfind('.'));
      const auto a = exact.find(module + ".lora_A.weight");
      if (a == exact.end() || a->first == name) return compare_weight(name, base, stored);
      const at::Tensor b = exact.at(module + ".lora_B.weight");
      compare_rows_of(name, stored, [&, scale = reference_.lora_scale(module)](int64_t row, int64_t rows) {
        return at::addmm(base.narrow(0, row, rows), b.narrow(0, row, rows), a->second, 1, scale);
      });
    });
  }

  void compare_weight(const std::string& name, const at::Tensor& wanted, const at::Tensor& stored) const {
    const at::Tensor all = with_rows(wanted);
    compare_rows_of(name, with_rows(stored), [&](int64_t row, int64_t rows) { return all.narrow(0, row, rows); });
  }

  // wanted(row, rows): what `stored` has been rounded from.
  void compare_rows_of(const std::string& name, const at::Tensor& stored,
                       const std::function<at::Tensor(int64_t row, int64_t rows)>& wanted) const {
    // The second term: the float32 sum before the rounding, whose error is measured by the largest number in it.
    const double largest = at::linalg_vector_norm(stored, std::numeric_limits<double>::infinity()).item<double>();
    const double allowed_sum = largest * (1 + 0x1p-7) * 0x1p-20 + smallest_error(request_.stored);
    for_row_pieces(stored, [&](int64_t row, int64_t rows) {
      const at::Tensor exact = wanted(row, rows);
      const at::Tensor excess = (stored.narrow(0, row, rows) - exact).abs_().sub_(rounding_error(exact), 1 + 0x1p-7);
      const double worst = excess.max().item<double>();
      HICI_CHECK(
          worst <= allowed_sum, request_.merged.string(), ": tensor '", printable(name), "' is ", worst,
          " further from base and adapter than rounding explains; the merged model is not published, please report it");
    });
  }

  // A single number is a row of its own.
  static at::Tensor with_rows(const at::Tensor& t) { return t.dim() == 0 ? t.view({1}) : t; }

  // The last norm and the head, some rows of it at a time.
  void compare_logits() {
    compare_weight(kFinalNorm, reference_.norm(), merged_.norm());
    const double eps = reference_.model().config().rms_norm_eps;
    for (Probe& probe : probes_) {
      probe.reference_BTC = ops::rms_norm(probe.reference_BTC, reference_.norm(), eps);
      probe.merged_BTC = ops::rms_norm(probe.merged_BTC, merged_.norm(), eps);
    }
    change(kFinalNorm, merged_.norm());
    for (Probe& probe : probes_) probe.changed_BTC = ops::rms_norm(probe.changed_BTC, merged_.norm(), eps);
    const std::string reference_name = reference_.head_name(), merged_name = merged_.head_name();
    compare_rows(reference_name, merged_name, [&](const at::Tensor& wanted_RC, at::Tensor& stored_RC) {
      for (Probe& probe : probes_) probe.merged_logits = at::matmul(probe.merged_BTC, stored_RC.t());
      change(merged_name, stored_RC);
      for (Probe& probe : probes_) add_logits(probe, wanted_RC, stored_RC);
    });
  }

  // Of a matrix with a row for each token: some rows at a time, compared and then given to `use`.
  void compare_rows(const std::string& reference_name, const std::string& merged_name,
                    const std::function<void(const at::Tensor& wanted_RC, at::Tensor& stored_RC)>& use) const {
    const at::Tensor reference_VC = reference_.source_of(reference_name).read(reference_name);
    const at::Tensor merged_VC = merged_.source_of(merged_name).read(merged_name);
    for (int64_t row = 0; row < merged_VC.size(0); row += kHeadRows) {
      const int64_t rows = std::min(kHeadRows, merged_VC.size(0) - row);
      const at::Tensor wanted_RC = reference_VC.narrow(0, row, rows).to(dtype_);
      at::Tensor stored_RC = merged_VC.narrow(0, row, rows).to(dtype_, /*non_blocking=*/false, /*copy=*/true);
      compare_weight(merged_name, wanted_RC, stored_RC);
      use(wanted_RC, stored_RC);
    }
  }

  static double squares(const at::Tensor& t) { return t.square().sum(at::kDouble).item<double>(); }

  static void add_logits(Probe& probe, const at::Tensor& wanted_RC, const at::Tensor& changed_RC) {
    const at::Tensor reference = at::matmul(probe.reference_BTC, wanted_RC.t()), merged = probe.merged_logits;
    probe.difference += squares(merged - reference);
    probe.changed += squares(at::matmul(probe.changed_BTC, changed_RC.t()) - merged);
    probe.norm += squares(reference);
    probe.max_abs = std::max(probe.max_abs, (merged - reference).abs().max().item<double>());
    probe.max_logit = std::max(probe.max_logit, reference.abs().max().item<double>());
  }

  MergeCheck conclude() {
    for (const Probe& probe : probes_) {
      const double norm = std::sqrt(std::max(probe.norm, 1e-300));
      const LogitsDifference found{
          .attention = std::string(nn::attention_kind_name(probe.kind)),
          .max_abs = probe.max_abs,
          .max_logit = probe.max_logit,
          .relative = std::sqrt(probe.difference) / norm,
          .bound = kBoundFactor * std::sqrt(probe.changed) / norm + kArithmeticErrors * 2 * unit_roundoff(dtype_)};
      HICI_CHECK(found.relative <= found.bound, request_.merged.string(), ": logits with ", found.attention,
                 " attention differ from base and adapter by ", found.relative, " (relative), and rounding explains ",
                 found.bound, "; the merged model is not published, please report it");
      result_.logits.push_back(found);
    }
    return std::move(result_);
  }

  const MergeCheckRequest& request_;
  at::ScalarType dtype_;
  ModelRequest merged_request_;
  OpenedModel merged_opened_;
  LayerByLayer reference_, merged_;
  at::Generator generator_;
  uint64_t drawn_ = 0;  // numbers of chance()
  std::vector<Probe> probes_;
  MergeCheck result_;
};

}  // namespace

MergeCheck check_merged(const MergeCheckRequest& request) { return Comparison(request).run(); }

}  // namespace hici::io
