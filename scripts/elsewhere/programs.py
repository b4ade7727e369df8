# SPDX-License-Identifier: Apache-2.0
"""What each program makes of the models of models.py. Used by scripts/rope_elsewhere only, in that program's own
environment: `programs.py PROGRAM FOLDER` appends to FOLDER/results/PROGRAM.jsonl a line for each model that is not
there yet. An error of the program is a result as well.
"""
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import traceback

import numpy


@contextlib.contextmanager
def scratch():
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)


# Each is called with a model's folder and yields, once, a function from tokens to logits [tokens, vocabulary].

@contextlib.contextmanager
def with_transformers(folder, **options):
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32,
                                                              attn_implementation="eager", **options)
    with torch.no_grad():
        yield lambda tokens: model(torch.tensor([tokens])).logits[0].numpy()


@contextlib.contextmanager
def with_mlx(folder):
    import mlx.core as mx
    from mlx_lm.utils import load_model
    model, _ = load_model(folder)
    yield lambda tokens: numpy.array(model(mx.array([tokens]))[0])


@contextlib.contextmanager
def with_onnxruntime_genai(folder):
    import onnxruntime_genai
    from onnxruntime_genai.models.builder import create_model, parse_extra_options
    with scratch() as out:
        request = (None, str(folder), str(out / "model"), "fp32", "cpu", str(out / "cache"))
        create_model(*request, **parse_extra_options(*request, []))
        model = onnxruntime_genai.Model(str(out / "model"))

        def logits(tokens):
            parameters = onnxruntime_genai.GeneratorParams(model)
            parameters.set_search_options(max_length=len(tokens) + 1)
            generator = onnxruntime_genai.Generator(model, parameters)
            generator.append_tokens(tokens)
            return generator.get_output("logits")[0]
        yield logits


@contextlib.contextmanager
def with_ctranslate2(folder):
    import ctranslate2
    with scratch() as out:
        ctranslate2.converters.TransformersConverter(str(folder)).convert(str(out / "model"))
        generator = ctranslate2.Generator(str(out / "model"), compute_type="float32")
        yield lambda tokens: numpy.array(generator.forward_batch([tokens]))[0]


@contextlib.contextmanager
def with_openvino(folder):
    import torch
    from optimum.intel import OVModelForCausalLM
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    model = OVModelForCausalLM.from_pretrained(str(folder), export=True, load_in_8bit=False, ov_config=exact)

    def logits(tokens):
        ids = torch.tensor([tokens])
        return model(ids, attention_mask=torch.ones_like(ids)).logits[0].numpy()
    yield logits


def convert_to_gguf(folder, file):
    """llama.cpp's own converter, with the words of models.py: it refuses tokenizers that it does not know."""
    import gguf
    from conversion import ModelBase, get_model_class
    of_family = get_model_class(ModelBase.load_hparams(folder, False)["architectures"][0])

    class Converter(of_family):
        model_arch = of_family.model_arch

        def set_vocab(self):
            words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
            kind = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(words) - 3)
            self.gguf_writer.add_tokenizer_model("llama")
            self.gguf_writer.add_token_list(list(words))
            self.gguf_writer.add_token_scores([0.0] * len(words))
            self.gguf_writer.add_token_types(kind)
    Converter(folder, gguf.LlamaFileType.ALL_F32, file).write()


@contextlib.contextmanager
def with_llama_cpp(folder):
    import xllamacpp
    with scratch() as out:
        convert_to_gguf(folder, out / "model.gguf")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(out / "model.gguf")
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_parallel = 1
        parameters.n_gpu_layers = 0
        parameters.warmup = False
        parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED  # float16 inside
        server = xllamacpp.Server(parameters)

        def logits(tokens):
            answer = server.handle_completions({"prompt": tokens, "n_predict": 1, "n_probs": 1 << 20, "cache_prompt": False})
            if "error" in answer:
                raise RuntimeError(answer["error"].get("message", answer["error"]))
            of_words = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
            return numpy.array([[word["logprob"] for word in sorted(of_words, key=lambda word: word["id"])]])
        yield logits


@contextlib.contextmanager
def with_gguf_in_transformers(folder):
    with scratch() as out:
        convert_to_gguf(folder, out / "model.gguf")
        with with_transformers(out, gguf_file="model.gguf") as logits:
            yield logits


PROGRAMS = {"transformers5": with_transformers, "transformers4": with_transformers, "mlx-lm": with_mlx,
            "onnxruntime-genai": with_onnxruntime_genai, "ctranslate2": with_ctranslate2,
            "ctranslate2-transformers4": with_ctranslate2, "openvino": with_openvino, "llama.cpp": with_llama_cpp,
            "gguf": with_gguf_in_transformers}


def first_words(error):
    """One line of at most 100 characters; the line of code where an error says nothing."""
    text = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
    return " ".join(f"{type(error).__name__}: {text}".split())[:100]


def distance(values, reference):
    """Largest difference. A single row holds log-probabilities of the last position: what llama.cpp's server tells."""
    if len(values) == 1:
        last = reference[-1:].astype(numpy.float64)
        reference = last - numpy.log(numpy.exp(last).sum())
    return float(numpy.abs(values - reference).max())


def compare(values, reference, length):
    """Distance from what is right, and the misreading that explains it best."""
    difference = {name.rsplit("-", 1)[0]: distance(values, reference[name])
                  for name in reference if name.endswith(f"-{length}")}
    right = difference.pop("right")
    name = min(difference, key=difference.get)
    return {"difference": right, "as": name, "difference_as": difference[name]}


def measure(program, folder, tokens, reference):
    result = {}
    try:
        with PROGRAMS[program](folder) as logits:
            for length, row in tokens.items():
                try:
                    result[length] = compare(logits(row), reference, length)
                except Exception as error:  # whatever the program throws is what we want to know
                    result[length] = {"error": first_words(error)}
    except Exception as error:
        result = {length: {"error": first_words(error)} for length in tokens}
    return result


def main():
    program, root = sys.argv[1], pathlib.Path(sys.argv[2])
    results = root / "results" / f"{program}.jsonl"
    results.parent.mkdir(exist_ok=True)
    done = {tuple(json.loads(line)["model"]) for line in results.read_text().splitlines()} if results.exists() else set()
    tokens = json.loads((root / "tokens.json").read_text())
    for folder in sorted((root / "models").glob("*/*/*")):
        model = folder.relative_to(root / "models").parts
        if model in done:
            continue
        (root / "results" / f"{program}.now").write_text(json.dumps(model))  # who is to blame if the process dies
        reference = numpy.load(root / "reference" / f"{model[0]}-{model[1]}.npz")
        line = {"model": model, "lengths": measure(program, folder, tokens, reference)}
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    main()
