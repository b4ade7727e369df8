# SPDX-License-Identifier: Apache-2.0
"""TensorBoard's own reader on the files of EventFileTest.WritesAResumedRunForTheReader: read_event_files.py TRAIN_TESTS"""
import os
import struct
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing import directory_watcher, event_accumulator, event_file_loader, io_wrapper


def approximately(value):
    """The float32 that an event file holds."""
    return struct.unpack("f", struct.pack("f", value))[0]


with tempfile.TemporaryDirectory() as directory:
    test = [sys.argv[1], "--gtest_filter=EventFileTest.WritesAResumedRunForTheReader"]
    subprocess.run(test, env={**os.environ, "HICI_TEST_OUTPUT": directory}, check=True, stdout=subprocess.DEVNULL)

    files = sorted(os.listdir(directory))
    assert len(files) == 2, files
    assert all(io_wrapper.IsTensorFlowEventsFile(name) for name in files), files
    first = list(event_file_loader.RawEventFileLoader(os.path.join(directory, files[0])).Load())
    assert len(first) == 4, len(first)  # the version and three steps; a wrong crc ends the reading early

    accumulator = event_accumulator.EventAccumulator(directory)
    accumulator.Reload()
    assert accumulator.file_version == 2.0, accumulator.file_version
    assert sorted(accumulator.Tags()["scalars"]) == ["train/loss", "train/tokens"], accumulator.Tags()
    # Steps 1, 2, 3 of a run that died, then 3 and 2**40 of the run that went on from step 2.
    losses = [(event.step, event.value) for event in accumulator.Scalars("train/loss")]
    assert losses == [(1, approximately(2.5)), (2, approximately(-0.1)), (3, approximately(1.75)), (2**40, approximately(1e-9))], losses
    assert all(abs(event.wall_time - os.stat(directory).st_mtime) < 60 for event in accumulator.Scalars("train/loss"))
    print("read", len(losses), "steps from", len(files), "files")
