#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# transformers 5.23.0 with accelerate 1.15.0 and torch 2.11.0: a model of one's own whose forward() has **kwargs and takes the mean
# of its loss, as PyTorch's losses do, gets N times the loss and the gradient from Trainer with gradient_accumulation_steps N. From the
# keywords Trainer concludes that the model divides by `num_items_in_batch`, and does not divide itself; nothing says so. The same
# model without **kwargs gets the mean. Four equal examples, in one batch and in four:
#   Plain 1 loss 2.079 gradient 0.017
#   Plain 4 loss 2.079 gradient 0.017
#   WithKeywords 1 loss 2.079 gradient 0.017
#   WithKeywords 4 loss 8.317 gradient 0.069
# What it means here: modeling_hici.py, which `hici merge --with_hici True` writes, hands `num_items_in_batch` to the loss of
# transformers (test_a_loss_is_what_trainers_ask_for); code that is loaded with trust_remote_code is of this kind.
# Seen on a CPU on 2026-11-30. Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.11.0 numpy==2.4.1 transformers==5.23.0 accelerate==1.15.0
cat >"$work/accumulate.py" <<'END'
import tempfile
import torch
from torch.utils.data import Dataset
from transformers import PretrainedConfig, PreTrainedModel, Trainer, TrainingArguments


class Examples(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return {"input_ids": torch.arange(8), "labels": torch.arange(8)}


class Plain(PreTrainedModel):
    config_class = PretrainedConfig

    def __init__(self, config):
        super().__init__(config)
        torch.manual_seed(0)
        self.table, self.head = torch.nn.Embedding(8, 4), torch.nn.Linear(4, 8)
        self.post_init()

    def forward(self, input_ids, labels=None):
        logits = self.head(self.table(input_ids))
        return {"loss": torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()), "logits": logits}


class WithKeywords(Plain):
    def forward(self, input_ids, labels=None, **kwargs):
        return super().forward(input_ids, labels)


for model in (Plain, WithKeywords):
    for accumulation in (1, 4):
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(model(PretrainedConfig()), TrainingArguments(
                folder, max_steps=1, per_device_train_batch_size=4 // accumulation, gradient_accumulation_steps=accumulation, learning_rate=0.0,
                max_grad_norm=1e9, logging_steps=1, report_to="none", disable_tqdm=True, use_cpu=True, save_strategy="no"), train_dataset=Examples())
            trainer.train()
            log = trainer.state.log_history[0]
            print(f"seen {model.__name__} {accumulation} loss {log['loss']:.3f} gradient {log['grad_norm']:.3f}", flush=True)
END
OMP_NUM_THREADS=1 "$work/venv/bin/python" "$work/accumulate.py" 2>/dev/null | sed -n 's/^seen //p' | tee "$work/seen"
diff "$work/seen" - <<'END'
Plain 1 loss 2.079 gradient 0.017
Plain 4 loss 2.079 gradient 0.017
WithKeywords 1 loss 2.079 gradient 0.017
WithKeywords 4 loss 8.317 gradient 0.069
END
echo "as stated"
