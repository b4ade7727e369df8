// SPDX-License-Identifier: Apache-2.0
// Ids and losses are compared with the Python packages' in tests/integration/test_sft.py.
#include "hici/data/sft/encoder.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "text/trained.h"

#include <gtest/gtest.h>

namespace hici::data {
namespace {

using hici::testing::TemporaryFolder;

SftRow row_of(const std::string& json) { return parse_sft_row(json, "row 7"); }

// The text of the learned tokens.
std::string learned_text(const SftExample& example, const text::Tokenizer& tokenizer) {
  text::Ids ids;
  for (size_t i = 0; i < example.ids.size(); ++i) {
    if (example.is_learned[i]) ids.push_back(example.ids[i]);
  }
  return tokenizer.decode(ids, false);
}

TEST(SftEncoderTest, AnInstructionBeginsWithBosAndItsAnswerEndsWithEos) {
  const TemporaryFolder folder;
  hici::testing::train_small_tokenizer(folder, /*puts_bos=*/true);
  SftEncoder encoder(folder.path(), PromptStyle::kLlama2);
  const SftExample example = encoder.encode({row_of(R"({"instruction": "Why?", "output": "The fox."})")}).front();
  EXPECT_EQ(encoder.tokenizer().decode(example.ids, false), "<s>[INST]Why?[/INST]The fox.</s>");
  EXPECT_EQ(learned_text(example, encoder.tokenizer()), "The fox.</s>");
  EXPECT_EQ(example.ids.front(), 0u);
}

TEST(SftEncoderTest, ATokenizerWithoutEosSaysSo) {
  const TemporaryFolder folder;
  hici::testing::train_small_tokenizer(folder);
  write_file_atomically(folder / "tokenizer_config.json", "{}");
  SftEncoder encoder(folder.path(), PromptStyle::kAlpaca);
  EXPECT_ERROR_SAYS(encoder.encode({row_of(R"({"instruction": "a", "output": "b"})")}), "names no eos_token");
}

const char* const kChat =
    R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "dog?"},)"
    R"({"role": "assistant", "content": "fox"}, {"role": "assistant", "content": "Größe"}, {"role": "user", "content": "and?"},)"
    R"({"role": "assistant", "content": "lazy"}]})";

std::string learned_with(const std::string& chat_template, const std::string& row = kChat) {
  const TemporaryFolder folder;
  hici::testing::train_small_tokenizer(folder);
  write_file_atomically(folder / "chat_template.jinja", chat_template);
  SftEncoder encoder(folder.path(), PromptStyle::kLlama2);
  return learned_text(encoder.encode({row_of(row)}).front(), encoder.tokenizer());
}

// The header of an answer that follows another is the template's, as between other turns.
TEST(SftEncoderTest, LearnsAllTurnsOfTheAssistant) {
  EXPECT_EQ(learned_with("{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"
                         "{% if add_generation_prompt %}[assistant]{% endif %}"),
            "fox</s>Größe</s>lazy</s>");
  // Without a generation prompt the turn begins where the messages before it end.
  EXPECT_EQ(learned_with("{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"),
            "[assistant]fox</s>[assistant]Größe</s>[assistant]lazy</s>");
  EXPECT_EQ(
      learned_with("{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
                   "{% endgeneration %}{% else %}{{ m.content }}{% endif %}</s>{% endfor %}"),
      "foxGrößelazy");
}

TEST(SftEncoderTest, FindsATurnThatIsWrittenInAnotherWayWhenItIsNotTheLast) {
  EXPECT_EQ(learned_with(
                "{% for m in messages %}[{{ m.role }}]{% if loop.last and m.role == 'assistant' %}(thinking){% endif %}"
                "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"),
            "fox</s>Größe</s>(thinking)lazy</s>");
}

TEST(SftEncoderTest, ATemplateThatDoesNotTellOrFailsNamesTheRow) {
  EXPECT_ERROR_SAYS(learned_with("{{ messages | length }} messages {{ messages[0].content }}"),
                    "row 7: messages: where turn 2, the assistant's, stands in the text cannot be told");
  EXPECT_ERROR_SAYS(learned_with("{{ raise_exception('no system role here') }}"), "chat template: no system role here");
  EXPECT_ERROR_SAYS(learned_with("{{ raise_exception('no') }}"), "row 7: ");
}

}  // namespace
}  // namespace hici::data
