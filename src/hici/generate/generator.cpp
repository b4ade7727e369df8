// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/generator.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/device/device.h"
#include "hici/nn/non_finite.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

namespace hici::generate {
namespace {

using Clock = std::chrono::steady_clock;

// In place of a token where the logits are not finite: so that one copy to the host says both.
constexpr int64_t kNoToken = -1;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_prompts(const std::vector<Ids>& prompts, int64_t vocab_size) {
  HICI_ASSERT(!prompts.empty(), "no prompt");
  for (const Ids& prompt : prompts) {
    HICI_CHECK(!prompt.empty(), "prompt: is empty; give at least one token");
    for (const int64_t id : prompt) {
      HICI_CHECK(id >= 0 && id < vocab_size, "prompt: token id ", id, " is not in the model's vocabulary of ",
                 vocab_size, "; does the tokenizer belong to another model?");
    }
  }
}

bool is_stop_id(const GenerateOptions& options, int64_t id) {
  return std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end();
}

// Those that the vocabulary has, where `logits_BV` are.
at::Tensor known_stop_ids(const GenerateOptions& options, const at::Tensor& logits_BV) {
  Ids known;
  for (const int64_t id : options.stop_ids) {
    if (id >= 0 && id < logits_BV.size(1)) known.push_back(id);
  }
  return at::tensor(known, at::kLong).to(logits_BV.device());
}

// Takes one token; false when the sequence is at its end, with the reason in the answer.
bool take(size_t sequence, int64_t id, const GenerateOptions& options, const OnToken& on_token, Answer& answer) {
  if (is_stop_id(options, id)) {
    answer.finish_reason = FinishReason::kStopToken;
    answer.stop_id = id;
    return false;
  }
  answer.ids.push_back(id);
  if (!on_token || on_token(sequence, id)) return true;
  answer.finish_reason = FinishReason::kCallback;
  return false;
}

}  // namespace

void GenerateOptions::validate() const {
  constexpr int64_t kMostNewTokens = int64_t{1} << 24;
  HICI_CHECK_USAGE(max_new_tokens >= 1 && max_new_tokens <= kMostNewTokens, "`max_new_tokens`: ", max_new_tokens,
                   " is out of range; use 1 to ", kMostNewTokens);
  HICI_CHECK_USAGE(min_new_tokens >= 0 && min_new_tokens <= max_new_tokens, "`min_new_tokens`: ", min_new_tokens,
                   " is out of range; use 0 to `max_new_tokens` ", max_new_tokens);
  HICI_CHECK_USAGE(batch_size >= 0, "`batch_size`: ", batch_size, " is negative; use 0 or more");
  HICI_CHECK_USAGE(prefill_chunk >= 1, "`prefill_chunk`: ", prefill_chunk, " is not positive; use 1 or more");
  using enum nn::AttentionKind;
  HICI_CHECK_USAGE(attention != kS2 && attention != kSegments, "`attention`: ", nn::attention_kind_name(attention),
                   " has no form over a cache; use full, hici or dca");
  sampling.validate();
}

// One call of generate(): which sequence is in which place of the session, and how far it is.
class Generator::Run {
 public:
  Run(Generator& generator, const std::vector<Ids>& prompts, const GenerateOptions& options, const OnToken& on_token,
      const OnEnd& on_end)
      : generator_(generator),
        prompts_(prompts),
        options_(options),
        on_token_(on_token),
        on_end_(on_end),
        answers_(prompts.size(), Answer{.ids = {}, .finish_reason = FinishReason::kInterrupted}),
        places_(static_cast<size_t>(generator.session_->shape().batch)),
        how_{options.attention, options.prefill_chunk, options.backend, [] { return stop_requested() == 0; }, 0} {
    if (options.min_new_tokens > 0) stop_ids_ = known_stop_ids(options, session().logits_BV());
  }

  std::vector<Answer> answers() {
    const auto start = Clock::now();
    if (begin_all()) {
      while (num_active_ > 0 && stop_requested() == 0) {
        session().advance();
        generator_.speed_.decoded_tokens += num_active_;
        choose(0, places_.size());
        if (!refill()) break;
      }
    }
    generator_.speed_.decode_seconds = seconds_since(start) - generator_.speed_.prefill_seconds;
    return std::move(answers_);
  }

 private:
  struct Place {
    size_t sequence = 0;
    bool is_active = false;
  };

  DecodeSession& session() { return *generator_.session_; }

  // False when a signal ended it.
  bool begin_all() {
    for (size_t place = 0; place < places_.size(); ++place)
      if (!begin(place)) return false;
    choose(0, places_.size());
    return refill();
  }

  // The next prompts in the places of sequences that have ended; some of these may end with their first token.
  bool refill() {
    for (size_t place = 0; place < places_.size(); ++place) {
      while (!places_[place].is_active && next_ < prompts_.size()) {
        if (!begin(place)) return false;
        choose(place, 1);
      }
    }
    return true;
  }

  bool begin(size_t place) {
    const auto start = Clock::now();
    const size_t sequence = next_++;
    const bool is_there = generator_.prefill(place, sequence, prompts_, how_);
    if (is_there) {
      places_[place] = {sequence, true};
      ++num_active_;
    }
    device::synchronize(session().tokens_B().device());
    generator_.speed_.prefill_seconds += seconds_since(start);
    return is_there;
  }

  // The next token of each sequence in `count` places from `first` on.
  void choose(size_t first, size_t count) {
    const auto from = static_cast<int64_t>(first), places = static_cast<int64_t>(count);
    const auto part = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, from, places) : t; };
    const at::Tensor seen = part(generator_.seen_BV_);
    const at::Tensor tokens = choose_tokens(allowed(first, count), uniform(first, count), seen, options_.sampling);
    part(session().tokens_B()).copy_(tokens);
    if (seen.defined()) at::Tensor(seen).scatter_(1, tokens.unsqueeze(1), true);
    const at::Tensor on_host = at::where(part(session().finite_B()), tokens, kNoToken).cpu();
    for (size_t i = 0; i < count; ++i)
      if (places_[first + i].is_active) take_token(first + i, on_host.const_data_ptr<int64_t>()[i]);
  }

  void take_token(size_t place, int64_t id) {
    const size_t sequence = places_[place].sequence;
    Answer& answer = answers_[sequence];
    if (id == kNoToken) generator_.fail_not_finite(sequence, answer.ids.size());
    const bool goes_on = take(sequence, id, options_, on_token_, answer);
    const bool is_full = static_cast<int64_t>(answer.ids.size()) == options_.max_new_tokens;
    if (goes_on && !is_full) return;
    if (goes_on) answer.finish_reason = FinishReason::kLength;
    places_[place].is_active = false;
    --num_active_;
    // It goes on with the others, and what it writes must stay in its rows.
    session().positions_B()[static_cast<int64_t>(place)].fill_(static_cast<int64_t>(prompts_[sequence].size()));
    if (on_end_) on_end_(sequence, answer);
  }

  int64_t step_of(size_t place) const { return static_cast<int64_t>(answers_[places_[place].sequence].ids.size()); }

  // The logits, without stop ids where an answer is too short for them.
  at::Tensor allowed(size_t first, size_t count) {
    const at::Tensor logits_PV =
        session().logits_BV().narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(count));
    if (options_.min_new_tokens == 0) return logits_PV;
    std::vector<bool> is_short;
    for (size_t i = 0; i < count; ++i) is_short.push_back(step_of(first + i) < options_.min_new_tokens);
    const auto num_short = std::count(is_short.begin(), is_short.end(), true);
    if (num_short == 0) return logits_PV;
    const at::Tensor without = without_tokens(logits_PV, stop_ids_);
    if (num_short == static_cast<std::ptrdiff_t>(count)) return without;
    at::Tensor mask = at::empty({static_cast<int64_t>(count), 1}, at::kBool);
    for (size_t i = 0; i < count; ++i) mask.mutable_data_ptr<bool>()[i] = is_short[i];
    return at::where(mask.to(logits_PV.device()), without, logits_PV);
  }

  // Of each place's sequence at its step, [count], float64; undefined when nothing is drawn.
  at::Tensor uniform(size_t first, size_t count) {
    if (options_.sampling.is_greedy()) return {};
    at::Tensor numbers = at::empty({static_cast<int64_t>(count)}, at::kDouble);
    for (size_t i = 0; i < count; ++i)
      numbers.mutable_data_ptr<double>()[i] = uniform_number(
          options_.sampling.seed, options_.first_stream + static_cast<uint64_t>(places_[first + i].sequence),
          static_cast<uint64_t>(step_of(first + i)));
    return numbers.to(session().tokens_B().device());
  }

  Generator& generator_;
  const std::vector<Ids>& prompts_;
  const GenerateOptions& options_;
  const OnToken& on_token_;
  const OnEnd& on_end_;
  std::vector<Answer> answers_;
  std::vector<Place> places_;
  nn::PrefillOptions how_;
  at::Tensor stop_ids_;
  size_t next_ = 0;  // sequence that begins
  int64_t num_active_ = 0;
};

std::vector<Answer> Generator::generate(const std::vector<Ids>& prompts, const GenerateOptions& options,
                                        const OnToken& on_token, const OnEnd& on_end) {
  const at::NoGradGuard no_grad;
  options.validate();
  check_prompts(prompts, model_.head_weight().size(0));
  speed_ = {};
  prepare(prompts, options);
  return Run(*this, prompts, options, on_token, on_end).answers();
}

// The session of the call before where it fits, else one whose capacity is a whole number of 256 rows.
void Generator::prepare(const std::vector<Ids>& prompts, const GenerateOptions& options) {
  constexpr int64_t kRows = 256;
  size_t longest = 0;
  for (const Ids& prompt : prompts) longest = std::max(longest, prompt.size());
  SessionShape shape;
  const size_t places =
      options.batch_size > 0 ? std::min(prompts.size(), static_cast<size_t>(options.batch_size)) : prompts.size();
  shape.batch = static_cast<int64_t>(places);
  shape.num_slots = options.attention == nn::AttentionKind::kHici ? nn::num_prompt_slots(model_) : 0;
  shape.decode_uses_slots = options.cache_slots;
  shape.records_graph = options.records_graph;
  shape.context_factor = model_.config().rope.context_factor;
  if (options.attention == nn::AttentionKind::kDca) shape.dual_chunk = options.dual_chunk.resolve(model_.config());
  const int64_t rows = shape.num_slots + static_cast<int64_t>(longest) + options.max_new_tokens;
  shape.capacity = (rows + kRows - 1) / kRows * kRows;
  if (session_) {
    SessionShape present = session_->shape();
    const bool has_room = present.capacity >= rows;
    present.capacity = shape.capacity;
    if (!has_room || present != shape) session_.reset();  // before the next one asks for memory
  }
  if (!session_) {
    cached_.assign(places, {});
    session_ = std::make_unique<DecodeSession>(model_, shape);
  }
  const bool has_penalty = options.sampling.repetition_penalty != 1;
  seen_BV_ = has_penalty ? at::zeros_like(session_->logits_BV(), at::kBool) : at::Tensor();
  latest_ = {};
}

// Brings the longest beginning of the prompt that any sequence holds into sequence i; its length, less than the prompt:
// the last token has to be forwarded for its logits.
int64_t Generator::reuse_prefix(size_t i, const Ids& prompt) {
  const auto shared_with = [&](size_t sequence) {
    const Ids& ids = cached_[sequence];
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), prompt.size() - 1));
    return std::mismatch(ids.begin(), end, prompt.begin()).first - ids.begin();
  };
  size_t source = i;  // where others have no more, nothing is copied
  std::ptrdiff_t length = shared_with(i);
  for (size_t other = 0; other < cached_.size(); ++other) {
    const std::ptrdiff_t more = shared_with(other);
    if (more <= length) continue;
    source = other;
    length = more;
  }
  if (source != i)
    session_->cache().copy_rows(static_cast<int64_t>(source), static_cast<int64_t>(i), static_cast<int64_t>(length));
  cached_[i].assign(prompt.begin(), prompt.begin() + length);
  return length;
}

// Hidden state [1, C] of its last token; undefined when a signal ended it.
at::Tensor Generator::prefill_prompt(size_t place, const Ids& prompt, const at::Tensor& ids_1T,
                                     nn::PrefillOptions how) {
  // Where slots read the whole prompt no two prompts have a row in common.
  const bool may_share = how.attention != nn::AttentionKind::kHici;
  if (!may_share) cached_[place].clear();
  if (may_share) how.num_cached = reuse_prefix(place, prompt);
  at::Tensor hidden_1C = nn::prefill(model_, ids_1T, session_->cache().sequence(static_cast<int64_t>(place)), how);
  if (!hidden_1C.defined()) return {};
  speed_.prompt_tokens += static_cast<int64_t>(prompt.size()) - how.num_cached;
  if (may_share) cached_[place] = prompt;
  return hidden_1C;
}

// The prompt of a sequence into a place of the session; false when a signal ended it.
bool Generator::prefill(size_t place, size_t sequence, const std::vector<Ids>& prompts, const nn::PrefillOptions& how) {
  const auto b = static_cast<int64_t>(place);
  const Ids& prompt = prompts[sequence];
  const auto length = static_cast<int64_t>(prompt.size());
  const at::Tensor ids_1T = at::tensor(prompt, at::kLong).unsqueeze(0).to(session_->tokens_B().device());
  if (seen_BV_.defined()) seen_BV_.narrow(0, b, 1).fill_(false).scatter_(1, ids_1T, true);
  session_->positions_B()[b].fill_(length);
  if (sequence > 0 && prompt == prompts[sequence - 1]) {
    // The one before is still in its place: only this sequence could have taken it.
    if (latest_.place != place) {
      session_->cache().copy_rows(static_cast<int64_t>(latest_.place), b, session_->cache().num_slots + length);
      cached_[place] = cached_[latest_.place];
    }
  } else {
    latest_.hidden_1C = prefill_prompt(place, prompt, ids_1T, how);
    if (!latest_.hidden_1C.defined()) return false;
  }
  latest_.place = place;
  session_->set_logits(b, latest_.hidden_1C);
  return true;
}

// Says which tensor of the weights is to blame where one is.
void Generator::fail_not_finite(size_t i, size_t num_answered) const {
  nn::fail_not_finite(model_, detail::concat("the choice of the next token (prompt ", i, " of the batch, token ",
                                             num_answered, " of its answer)"));
}

}  // namespace hici::generate
