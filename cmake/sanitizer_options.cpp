// SPDX-License-Identifier: Apache-2.0
// Defaults of the sanitizers for every program of a build with HICI_ASAN; ASAN_OPTIONS and LSAN_OPTIONS still win.
extern "C" const char* __asan_default_options();
extern "C" const char* __ubsan_default_options();
extern "C" const char* __lsan_default_suppressions();

// LibTorch's prebuilt libraries each carry their own copy of some inline variables. An allocation that is too large
// fails as it does without the sanitizer, which would end the process: LibTorch and zstd make errors of it.
const char* __asan_default_options() {
  return "detect_odr_violation=0:allocator_may_return_null=1:strict_string_checks=1:detect_stack_use_after_return=1";
}

const char* __ubsan_default_options() { return "print_stacktrace=1"; }

// The Rust crate has an allocator of its own, whose memory LeakSanitizer does not look through: what only an object in
// there points to seems lost. These are a regular expression (C code in the crate's oniguruma) and a thread.
const char* __lsan_default_suppressions() { return "leak:onig_\nleak:std::thread::lifecycle::spawn_unchecked\n"; }
