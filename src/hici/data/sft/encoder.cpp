// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/encoder.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/shown_name.h"
#include "hici/data/sft/columns.h"
#include "hici/data/sft/spans.h"
#include "hici/text/chat_template_files.h"
#include "hici/text/template_check.h"

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

text::ChatRequest request_of(const SftRow& row, bool add_generation_prompt = false) {
  return {.add_generation_prompt = add_generation_prompt, .variables = row.variables};
}

// Labels for all tokens but those that `prompt` begins with too.
SftExample behind(const text::Ids& prompt, text::Ids all) {
  const size_t size = std::min(prompt.size(), all.size());
  const auto end = std::mismatch(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size), prompt.begin()).first;
  SftExample example{std::move(all), {}};
  example.is_learned.resize(static_cast<size_t>(end - example.ids.begin()));
  example.is_learned.resize(example.ids.size(), true);
  return example;
}

}  // namespace

SftEncoder::SftEncoder(const std::filesystem::path& model, PromptStyle style)
    : model_(model), style_(style), tokenizer_(text::Tokenizer::from_path(model)) {}

std::vector<SftExample> SftEncoder::encode(const std::vector<SftRow>& rows) {
  std::vector<const SftRow*> texts;
  for (const SftRow& row : rows) {
    if (!row.is_chat()) texts.push_back(&row);
  }
  std::vector<SftExample> encoded = encode_texts(texts), examples;
  size_t next = 0;
  for (const SftRow& row : rows) examples.push_back(row.is_chat() ? encode_chat(row) : std::move(encoded[next++]));
  return examples;
}

std::vector<SftExample> SftEncoder::encode_texts(const std::vector<const SftRow*>& rows) const {
  if (rows.empty()) return {};
  const std::string end = eos_text(tokenizer_);
  std::vector<std::string> texts;
  for (const SftRow* row : rows) {
    const bool is_prompt = row->form == SftForm::kPrompt;
    texts.push_back(is_prompt ? row->prompt : make_prompt(style_, row->instruction, row->input));
    texts.push_back(texts.back() + row->output + (is_prompt && row->output.ends_with(end) ? "" : end));
  }
  const std::vector<text::Ids> ids = tokenizer_.encode_batch(texts, false);
  std::vector<SftExample> examples;
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool is_prompt = rows[i]->form == SftForm::kPrompt;
    const auto framed = [&](const text::Ids& inner) {
      text::Ids all = tokenizer_.special_ids_before();
      all.insert(all.end(), inner.begin(), inner.end());
      const text::Ids& after = tokenizer_.special_ids_after();
      if (is_prompt) all.insert(all.end(), after.begin(), after.end());
      return all;
    };
    const text::Ids prompt = framed(ids[2 * i]);
    if (is_prompt) {
      examples.push_back(behind(prompt, framed(ids[2 * i + 1])));
      continue;
    }
    SftExample& example = examples.emplace_back(SftExample{framed(ids[2 * i + 1]), {}});
    example.is_learned.resize(std::min(prompt.size(), example.ids.size()));
    example.is_learned.resize(example.ids.size(), true);
  }
  return examples;
}

SftExample SftEncoder::encode_chat(const SftRow& row) {
  const text::ChatTemplate& chat_template = template_for(row);
  try {
    if (row.form == SftForm::kPromptChat) return encode_answer_to_chat(row, chat_template);
    const text::RenderedChat rendered = chat_template.render_marked(row.messages, request_of(row));
    text::check_all_is_written(chat_template, row.messages, request_of(row), rendered.text);
    warn_of_tools_left_out(row, chat_template, rendered.text);
    warn_of_keys_left_out(row, chat_template, rendered.text);
    const std::vector<text::TextSpan> spans =
        learned_spans({chat_template, row.messages, row.variables, rendered}, row.is_learned, "messages");
    text::Encoding encoding = tokenizer_.encode_with_offsets(rendered.text);
    std::vector<bool> inside = tokens_inside(encoding.offsets, spans);
    return {std::move(encoding.ids), std::move(inside)};
  } catch (const Error& e) {
    fail(row.subject, ": ", e.what());
  }
}

SftExample SftEncoder::encode_answer_to_chat(const SftRow& row, const text::ChatTemplate& chat_template) {
  auto prompt = text::ChatMessages::array();
  for (size_t i = 0; i < row.num_prompt; ++i) prompt.push_back(row.messages[i]);
  const std::string text = chat_template.render(row.messages, request_of(row));
  text::check_all_is_written(chat_template, row.messages, request_of(row), text);
  warn_of_keys_left_out(row, chat_template, text);
  return behind(tokenizer_.encode(chat_template.render(prompt, request_of(row, true)), false),
                tokenizer_.encode(text, false));
}

// As transformers: a model may come with a template of its own for conversations with tools.
const text::ChatTemplate& SftEncoder::template_for(const SftRow& row) {
  std::optional<text::ChatTemplate>& chat_template = row.has_tools() ? template_for_tools_ : chat_template_;
  if (!chat_template) chat_template = text::load_chat_template(model_, row.has_tools());
  return *chat_template;
}

void SftEncoder::warn_of_tools_left_out(const SftRow& row, const text::ChatTemplate& chat_template,
                                        const std::string& text) {
  if (checked_tools_ || !row.has_tools() || row.variables["tools"].empty()) return;
  checked_tools_ = true;
  text::ChatRequest without = request_of(row);
  without.variables.erase("tools");
  if (chat_template.render(row.messages, without) != text) return;
  log_warning(row.subject, ": the chat template of ", model_.string(), " writes nothing of the row's tools");
}

// Such as the reasoning_content of an answer, which templates of models that do not reason skip. Once for each key.
void SftEncoder::warn_of_keys_left_out(const SftRow& row, const text::ChatTemplate& chat_template,
                                       const std::string& text) {
  for (const auto& message : row.messages)
    for (const auto& [key, value] : message.items()) {
      if (value.empty() || is_neutral_in_message(key) || !checked_keys_.insert(key).second) continue;
      text::ChatMessages others = row.messages;
      for (auto& other : others) other.erase(key);
      if (chat_template.render(others, request_of(row)) == text)
        log_warning(row.subject, ": the chat template of ", model_.string(), " writes nothing of the messages' '",
                    shown_name(key), "'");
    }
}

}  // namespace hici::data
