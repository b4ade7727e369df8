#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes what tests/integration/test_rolling.py compares `hici eval ppl --rolling` with, by the real lm-eval 0.4.13:

    pip install lm-eval==0.4.13     # with what it needs about 500 MB beside torch and transformers
    tests/eval/make_rolling_expected.py

Written is tests/eval/data/rolling_expected.json: by family and window the log-likelihood of each document, and word perplexity, byte
perplexity and bits per byte by lm-eval's own aggregation. Its batches are of one window: in larger ones lm-eval 0.4.13 scores a last
window wrongly that has the same input as another window of the batch, as texts that repeat themselves have. No test runs this: lm-eval is too heavy to be installed for a test.
"""
import importlib.metadata
import json
import os
import pathlib
import sys
import tempfile

tests = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(tests / "integration"))
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
os.environ.setdefault("HICI", "")  # what the tests' helpers ask for
os.environ.setdefault("HICI_GOLDEN", "")

import rolling_models
from lm_eval.api.instance import Instance
from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
from lm_eval.api.task import PerplexityTask
from lm_eval.models.huggingface import HFLM

VERSION = "0.4.13"


def values_of(folder, window, texts):
    model = HFLM(pretrained=str(folder), dtype="float64", max_length=window, batch_size=1, device="cpu")
    requests = [Instance(request_type="loglikelihood_rolling", doc=text, arguments=(text,), idx=0) for text in texts]
    likelihoods = model.loglikelihood_rolling(requests, disable_tqdm=True)
    words = [PerplexityTask.count_words(text) for text in texts]
    sizes = [PerplexityTask.count_bytes(text) for text in texts]
    return {"log_likelihoods": likelihoods, "tokens": sum(len(model.tok_encode(text)) for text in texts),
            "prefix_token_id": model.prefix_token_id, "words": sum(words), "bytes": sum(sizes),
            "word_perplexity": weighted_perplexity(list(zip(likelihoods, words))),
            "byte_perplexity": weighted_perplexity(list(zip(likelihoods, sizes))),
            "bits_per_byte": bits_per_byte(list(zip(likelihoods, sizes)))}


def main():
    assert importlib.metadata.version("lm-eval") == VERSION
    texts = rolling_models.documents()
    expected = {}
    for family in rolling_models.FAMILIES:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            rolling_models.make_model(folder, family)
            expected[family] = {str(window): values_of(folder, window, texts) for window in rolling_models.WINDOWS}
    (tests / "eval" / "data" / "rolling_expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
