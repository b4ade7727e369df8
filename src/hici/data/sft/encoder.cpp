// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/encoder.h"

#include "hici/base/error.h"
#include "hici/data/sft/spans.h"
#include "hici/text/chat_template_files.h"

#include <algorithm>

namespace hici::data {
namespace {

std::string eos_text(const text::Tokenizer& tokenizer) {
  const std::optional<uint32_t> id = tokenizer.eos_id();
  HICI_CHECK(id, tokenizer.path().string(),
             ": its tokenizer_config.json names no eos_token, with which every answer ends; add it");
  return *tokenizer.id_to_token(*id);
}

// Spans and offsets are both in the order of the text. A token without bytes is in no span.
std::vector<bool> tokens_inside(const std::vector<text::TextSpan>& offsets, const std::vector<text::TextSpan>& spans) {
  std::vector<bool> inside(offsets.size());
  size_t next = 0;
  for (size_t i = 0; i < offsets.size(); ++i) {
    while (next < spans.size() && spans[next].end <= offsets[i].begin) ++next;
    inside[i] = next < spans.size() && offsets[i].end > spans[next].begin && offsets[i].end > offsets[i].begin;
  }
  return inside;
}

}  // namespace

SftEncoder::SftEncoder(const std::filesystem::path& model, PromptStyle style)
    : model_(model), style_(style), tokenizer_(text::Tokenizer::from_path(model)) {}

std::vector<SftExample> SftEncoder::encode(const std::vector<SftRow>& rows) {
  std::vector<const SftRow*> instructions;
  for (const SftRow& row : rows) {
    if (!row.is_chat()) instructions.push_back(&row);
  }
  std::vector<SftExample> encoded = encode_instructions(instructions), examples;
  size_t next = 0;
  for (const SftRow& row : rows) examples.push_back(row.is_chat() ? encode_chat(row) : std::move(encoded[next++]));
  return examples;
}

std::vector<SftExample> SftEncoder::encode_instructions(const std::vector<const SftRow*>& rows) const {
  if (rows.empty()) return {};
  const std::string end = eos_text(tokenizer_);
  std::vector<std::string> texts;
  for (const SftRow* row : rows) {
    texts.push_back(make_prompt(style_, row->instruction, row->input));
    texts.push_back(texts.back() + row->output + end);
  }
  const std::vector<text::Ids> ids = tokenizer_.encode_batch(texts, false);
  const text::Ids& before = tokenizer_.special_ids_before();
  std::vector<SftExample> examples(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    text::Ids& all = examples[i].ids;
    all = before;
    all.insert(all.end(), ids[2 * i + 1].begin(), ids[2 * i + 1].end());
    const size_t num_prompt = std::min(before.size() + ids[2 * i].size(), all.size());
    examples[i].is_learned.resize(num_prompt);
    examples[i].is_learned.resize(all.size(), true);
  }
  return examples;
}

SftExample SftEncoder::encode_chat(const SftRow& row) {
  if (!chat_template_) chat_template_ = text::load_chat_template(model_);
  try {
    text::RenderedChat rendered = chat_template_->render_marked(row.messages);
    if (!chat_template_->marks_generation()) {
      rendered.generation = assistant_spans(*chat_template_, row.messages, rendered.text, "messages");
    }
    text::Encoding encoding = tokenizer_.encode_with_offsets(rendered.text);
    std::vector<bool> inside = tokens_inside(encoding.offsets, rendered.generation);
    return {std::move(encoding.ids), std::move(inside)};
  } catch (const Error& e) {
    fail(row.subject, ": ", e.what());
  }
}

}  // namespace hici::data
