// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/config_file.h"

#include "hici/base/file.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <string>
#include <vector>

namespace hici::commands {
namespace {

using Words = std::vector<std::string>;

class ConfigFileTest : public ::testing::Test {
 protected:
  std::vector<ConfigLine> read(const std::string& text) {
    write_file_atomically(path_, text);
    return read_config_file(path_, "eval ppl");
  }
  Words values_of(const std::string& value) { return read("name = " + value + "\n").at(0).values; }
  // Without the path in front.
  std::string error_of(const std::string& text) {
    return testing::error_message([&] { read(text); }).substr(path_.string().size());
  }

  testing::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_.path() / "run.ini";
};

TEST_F(ConfigFileTest, ReadsNamesValuesAndLines) {
  const auto lines = read("# a comment\n\n; another\nnum-chunks=4\n  label = two words  # why\nempty =\n");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0].name, "num_chunks");
  EXPECT_EQ(lines[0].values, Words{"4"});
  EXPECT_EQ(lines[0].source, path_.string() + ": line 4");
  EXPECT_EQ(lines[1].values, Words{"two words"});
  EXPECT_EQ(lines[2].values, Words{""});
}

TEST_F(ConfigFileTest, ReadsWhatOtherSystemsWrite) {
  const auto lines = read("\xef\xbb\xbf[eval ppl]\r\nlabel = a b\r\nseed = \"7\"\r\n");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].values, Words{"a b"});
  EXPECT_EQ(lines[1].values, Words{"7"});
}

TEST_F(ConfigFileTest, QuotesKeepWhatIsInThem) {
  EXPECT_EQ(values_of("\" a # b ; c \"  # d"), Words{" a # b ; c "});
  EXPECT_EQ(values_of("\"\""), Words{""});
  EXPECT_EQ(values_of(R"("a \"b\" \\ \n")"), Words{R"(a "b" \ \n)"});
  EXPECT_EQ(values_of("\"a\" \"b c\""), (Words{"a", "b c"}));
  EXPECT_EQ(values_of("a#b;c"), Words{"a#b;c"});
  EXPECT_EQ(values_of("say \"x\""), Words{"say \"x\""});
  EXPECT_EQ(error_of("a = \"b\n"), ": line 1: a quoted value has no end; write \\\" for a quote inside one");
  EXPECT_ERROR_SAYS(read("a = \"b\" c\n"), "c stands behind a quoted value");
  EXPECT_ERROR_SAYS(read("a = # b\n"), "# b is a comment where a value belongs; put it in quotes where it is one");
}

TEST_F(ConfigFileTest, OtherFormsOfTomlAreRefused) {
  EXPECT_EQ(error_of("a = 'runs/x'  # b\n"),
            ": line 1: 'runs/x' is a text or list of TOML that is not read; write it in double quotes");
  EXPECT_EQ(error_of("a = 1\nb = [\"x\", 'y']\n"),
            ": line 2: [\"x\", 'y'] is a text or list of TOML that is not read; write the values in double quotes, one "
            "behind the other");
  EXPECT_EQ(values_of("\"'x'\""), Words{"'x'"});
  EXPECT_EQ(values_of("it's"), Words{"it's"});
  EXPECT_EQ(values_of("'"), Words{"'"});
  EXPECT_EQ(values_of("[a] b"), Words{"[a] b"});
  for (const std::string value : {"'x'", "[1, 2]", "it's", "'"})
    EXPECT_EQ(values_of(config_line_value({value}, "--a")), Words{value});
}

TEST_F(ConfigFileTest, ASectionIsTheCommandsOrTheDefault) {
  EXPECT_EQ(read("[default]  # for all\na = 1\n[ eval ppl ]\nb = 2\n").size(), 2U);
  EXPECT_EQ(error_of("a = 1\n[train]\n"),
            ": line 2: section [train] is none of this command; use [eval ppl] or [default], or a file of its own");
  EXPECT_ERROR_SAYS(read("[eval ppl\n"), "is none of this command");
}

TEST_F(ConfigFileTest, ANameStandsThereOnce) {
  EXPECT_EQ(error_of("num_chunks = 1\nnum-chunks = 2\n"), ": line 2: num_chunks stands there twice; give it once");
}

TEST_F(ConfigFileTest, AnotherFormIsToldWhichOneIsExpected) {
  const std::string way_out = "write one option a line, without dashes, as in learning_rate = 2e-5";
  EXPECT_EQ(error_of("{\"seed\": 1}"), ": is JSON; " + way_out);
  EXPECT_EQ(error_of(std::string("seed = 1\n\0", 10)), ": is no text; " + way_out);
  EXPECT_EQ(error_of("seed: 1\n"), ": line 1: seed: 1 is no 'name = value'; " + way_out);
  EXPECT_EQ(error_of("args: a=b\n"), ": line 1: args: a=b is no 'name = value'; " + way_out);
  EXPECT_EQ(error_of("--seed = 1\n"), ": line 1: --seed = 1 is no 'name = value'; " + way_out);
  EXPECT_EQ(error_of("= 1\n"), ": line 1: = 1 is no 'name = value'; " + way_out);
  EXPECT_ERROR_SAYS(read_config_file(folder_.path() / "none.ini", "train"),
                    "none.ini: no such file; in one for --config ");
  EXPECT_ERROR_SAYS(read_config_file(folder_.path(), "train"),
                    folder_.path().string() + ": is a directory, expected a file");
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_ERROR_SAYS(read_config_file(folder_ / "fifo", "train"), "fifo: is no regular file (a pipe or a device)");
  EXPECT_ERROR_SAYS(read_config_file("", "train"), "--config: '' is no name of a file");
}

TEST_F(ConfigFileTest, ValuesComeBackAsTheyWere) {
  for (const Words& values :
       {Words{"plain"}, Words{"two words"}, Words{" ends "}, Words{"a # b"}, Words{"#"}, Words{"\"q\" \\"}, Words{""},
        Words{"a,b"}, Words{"a", "b c", ""}, Words{"back\\slash"}, Words{"[x]"}, Words{"k = v"}})
    EXPECT_EQ(values_of(config_line_value(values, "--name")), values) << config_line_value(values, "--name");
}

}  // namespace
}  // namespace hici::commands
