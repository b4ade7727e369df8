# SPDX-License-Identifier: Apache-2.0
"""What the tests of fine-tuning share: a tiny Llama with its tokenizer, a run of `hici sft`, and the same steps in a few lines
of transformers."""
import json
import os

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from support import FolderTest, metrics

STEPS = 8
WORDS = "the of and a to in he that it his unto for i with is as be they not them said lord my all".split()


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


class SftFolderTest(FolderTest):
    """The folder `base` is the model, `data...` the rows and `out` the run."""
    CONFIG = {"max_position_embeddings": 256}

    def setUp(self):
        super().setUp()
        self.base, self.tokenizer = self.folder / "base", make_tokenizer()
        torch.manual_seed(3)
        config = LlamaConfig(vocab_size=len(self.tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                             num_attention_heads=4, num_key_value_heads=2, **self.CONFIG)
        LlamaForCausalLM(config).save_pretrained(self.base)
        self.tokenizer.save_pretrained(self.base)

    def write(self, rows, name="data.json"):
        path = self.folder / name
        lines = name.endswith(".jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows))
        return path

    def options(self, data, out="out", command="sft", **changes):
        options = {"model_name_or_path": self.base, "data_path": data, "output_dir": self.folder / out,
                   "model_max_length": 128, "max_steps": STEPS, "per_device_train_batch_size": 2,
                   "gradient_accumulation_steps": 2, "learning_rate": 2e-3, "hici_lr": 1e-2, "dtype": "float32",
                   "device": "cpu", "warmup_steps": 0, "num_local_slots": 2, "global_slots": 2, "num_heads": 2,
                   "bottleneck_dim": 16, "shared_compress_dim": 8, "lora_r": 2, "save_steps": 3, **changes}
        return [command] + [text for key, value in options.items() if value is not None for text in (f"--{key}", str(value))]

    def train(self, *arguments, **keywords):
        return self.run_hici(*self.options(*arguments, **keywords))

    def losses(self, out="out"):
        return [line["loss"] for line in metrics(self.folder / out)]

    # ---- against transformers ---------------------------------------------------------------------------------

    def expected_steps(self, examples, num_steps, batch=2, accumulation=2, rate=2e-3):
        """Loss, gradient norm of each step; examples are (ids, labels), visited in order."""
        model = LlamaForCausalLM.from_pretrained(self.base, dtype=torch.float32, attn_implementation="eager")
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0)
        steps, at = [], 0
        for _ in range(num_steps):
            drawn = [examples[(at + i) % len(examples)] for i in range(batch * accumulation)]
            at += len(drawn)
            targets = sum((torch.tensor(labels[1:]) != -100).sum().item() for _, labels in drawn)
            total = 0.0
            for ids, labels in drawn:  # one by one: padding must make no difference
                logits = model(torch.tensor([ids])).logits[0, :-1]
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[1:]), ignore_index=-100,
                                                         reduction="sum") / targets
                loss.backward()
                total += loss.item()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), float("inf")).item()
            optimizer.step()
            optimizer.zero_grad()
            steps.append((total, norm))
        return steps

    def check_against_transformers(self, data, examples, **changes):
        full = {"attention": "full", "low_rank_training": False, "shuffle": False, "max_grad_norm": 0,
                "hici_grad_clip": None, "lora_r": None, "lr_scheduler_type": "constant", "warmup_steps": None,
                "num_local_slots": None, "global_slots": None, "num_heads": None, "bottleneck_dim": None,
                "shared_compress_dim": None}
        done = self.train(data, max_steps=4, **{**full, **changes})
        for line, (loss, norm) in zip(metrics(self.folder / "out"), self.expected_steps(examples, 4), strict=True):
            # float32 sums in another order; later steps carry the differences of the steps before them.
            self.assertLess(abs(line["loss"] / loss - 1), 1e-5, (line, loss))
            self.assertLess(abs(line["grad_norm"] / norm - 1), 1e-4, (line, norm))
        return done
