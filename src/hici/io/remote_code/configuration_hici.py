# SPDX-License-Identifier: Apache-2.0
"""Configuration of a Llama or Qwen3 with HiCI attention (https://arxiv.org/abs/2603.20843), for transformers.

`hici merge --with_hici True` writes this file and modeling_hici.py beside the weights.
"""
import transformers

OLDEST = (4, 51)  # the first that has Qwen3, and attention as functions
if tuple(int(part) for part in transformers.__version__.split(".")[:2]) < OLDEST:
    raise ImportError(f"configuration_hici.py, modeling_hici.py: transformers {transformers.__version__} is too old for a "
                      f"HiCI model; install 4.51 or newer, or load it without HiCI (trust_remote_code=False)")

from transformers.models.llama import configuration_llama  # noqa: E402
from transformers.models.qwen3 import configuration_qwen3  # noqa: E402


class HiciSettings:
    """What the configuration of a family has in addition. Class attributes: only values that differ are saved.

    hici                 the settings of the HiCI modules, as in hici_config.json
    hici_segment_length  tokens of a segment of a whole sequence; None: the segments of training
    hici_num_segments    in place of it, the number of segments that a sequence is cut into
    hici_cache_slots     whether generated tokens attend to the slots of the prompt, as the prompt's tokens do
    """
    hici = None
    hici_segment_length = None
    hici_num_segments = None
    hici_cache_slots = True


# The names are those of the families: AutoTokenizer and others look a configuration up by the name of its class.
class LlamaConfig(HiciSettings, configuration_llama.LlamaConfig):
    pass


class Qwen3Config(HiciSettings, configuration_qwen3.Qwen3Config):
    pass
