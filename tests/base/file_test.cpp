// SPDX-License-Identifier: Apache-2.0
#include "hici/base/file.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>

namespace hici {
namespace {

using testing::TemporaryFolder;

size_t num_entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(PlainNameTest, StaysInsideItsFolder) {
  for (const char* good : {"model-00001-of-00002.safetensors", "a", "..b", "pytorch_model.bin", "a b"})
    EXPECT_TRUE(is_plain_name(good)) << good;
  for (const char* bad : {"", ".", "..", "/etc/passwd", "../x", "a/b", "a\\b", "/"})
    EXPECT_FALSE(is_plain_name(bad)) << bad;
  EXPECT_FALSE(is_plain_name(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_plain_name("a\nb")) << "would break the line of a message";
  // std::filesystem::exists throws its own exception for a name that no file can have.
  EXPECT_TRUE(is_plain_name(std::string(255, 'a')));
  EXPECT_FALSE(is_plain_name(std::string(256, 'a')));
}

TEST(ReadFileTest, RefusesWhatIsNoReadableFile) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(read_file(folder / "none", 10), "none: cannot open: No such file or directory");
  EXPECT_ERROR_SAYS(read_file(folder.path(), 10), "is a directory, expected a file");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_ERROR_SAYS(read_file(folder / "fifo", 10), "no regular file");  // and does not wait for a writer
  std::ofstream(folder / "f") << "12345";
  EXPECT_ERROR_SAYS(read_file(folder / "f", 4), "f: 5 bytes, more than the 4 allowed");
  EXPECT_EQ(read_file(folder / "f", 5), "12345");
}

TEST(ReadFileTest, APointerOfGitLfsIsNotTheFile) {
  const TemporaryFolder folder;
  const fs::path path = folder / "model.safetensors";
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4f4f\nsize 4976698672\n";
  std::ofstream(path) << pointer;
  const std::string wanted = path.string() + ": is a Git LFS pointer, and not the file itself; run 'git lfs pull' in ";
  EXPECT_ERROR_SAYS(read_file(path, 4096), wanted + folder.path().string());
  EXPECT_ERROR_SAYS(MappedFile{path}, wanted);
  std::ofstream(path) << "A text about " << pointer;
  EXPECT_NO_THROW(read_file(path, 4096));
  EXPECT_NO_THROW(MappedFile{path});
}

TEST(AtomicFileTest, NothingAppearsBeforeCommit) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "old");
  {
    AtomicFile file(folder / "f");
    file.write("new text");
    EXPECT_EQ(read_file(folder / "f", 100), "old");
  }
  EXPECT_EQ(read_file(folder / "f", 100), "old");
  EXPECT_EQ(num_entries(folder.path()), 1U);  // the abandoned one is gone
  AtomicFile file(folder / "f");
  file.write("new text");
  EXPECT_EQ(file.bytes_written(), 8U);
  file.commit();
  EXPECT_EQ(read_file(folder / "f", 100), "new text");
  EXPECT_EQ(num_entries(folder.path()), 1U);
}

TEST(AtomicFileTest, NamesTheFileThatCannotBeWritten) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(AtomicFile(folder / "no/such/f"), "no/such/f: cannot create: No such file or directory");
  fs::create_directory(folder / "d");
  EXPECT_ERROR_SAYS(write_file_atomically(folder / "d", "x"),
                    "d: is a directory, expected the name of a file to write");
  EXPECT_EQ(num_entries(folder.path()), 1U);
}

// A limit on the file size stands in for a full disk: the write itself fails half-way.
TEST(AtomicFileTest, AFailedWriteLeavesTheOldFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "old");
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit low = before;
  low.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const std::string message =
      testing::error_message([&] { write_file_atomically(folder / "f", std::string(5000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot write: File too large"), std::string::npos) << message;
  EXPECT_EQ(read_file(folder / "f", 100), "old");
  EXPECT_EQ(num_entries(folder.path()), 1U);
}

TEST(MappedFileTest, ReadsByOffsetAndMoves) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "0123456789");
  MappedFile first(folder / "f");
  MappedFile file = std::move(first);
  char out[4] = {};
  file.copy(3, out, 3);
  EXPECT_STREQ(out, "345");
  EXPECT_EQ(static_cast<char>(file.bytes()[9]), '9');
  EXPECT_NO_THROW(file.check_unchanged());
  EXPECT_THROW(file.copy(8, out, 3), InternalError);
  EXPECT_THROW(file.copy(~uint64_t{0}, out, 3), InternalError);
}

TEST(MappedFileTest, AnEmptyFileHasNoBytes) {
  const TemporaryFolder folder;
  std::ofstream(folder / "f").flush();
  EXPECT_EQ(MappedFile(folder / "f").bytes().size(), 0U);
}

TEST(MappedFileTest, AFileThatShrinksIsAnErrorAndNoCrash) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", std::string(100'000, 'x'));
  const MappedFile file(folder / "f");
  fs::resize_file(folder / "f", 50'000);
  std::string out(100'000, '\0');
  EXPECT_ERROR_SAYS(file.copy(0, out.data(), out.size()),
                    "ends at byte 50000, expected 50000 more; the file was cut short");
  EXPECT_ERROR_SAYS(file.check_unchanged(), "was 100000 bytes when opened, now has 50000");
}

TEST(MappedFileTest, NoticesARewrite) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", "aaaa");
  const MappedFile file(folder / "f");
  std::ofstream(folder / "f", std::ios::in | std::ios::out) << "bbbb";
  fs::last_write_time(folder / "f", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_ERROR_SAYS(file.check_unchanged(), "was modified while it was read");
}

TEST(FreeBytesTest, WorksForAFileThatIsNotThereYet) {
  const TemporaryFolder folder;
  EXPECT_GT(free_bytes(folder / "a/b/c.safetensors"), 0U);
}

}  // namespace
}  // namespace hici
