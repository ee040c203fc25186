"""One training step of transformers + peft in eager float32 on the CPU, as often as it is told to: the peer of engine-step.ts.

    python pytorch_step.py '{"directory": ..., "examples": 1, "length": 256, "threads": 1}'

The base weights are dense float32 (bitsandbytes has no CPU kernels worth comparing, and dequantizing in each step is slower: we
measured 1.2 times); attention is scaled_dot_product_attention; the loss is of answer tokens only; no clipping. What is tuned in the
peer's favour is set by its caller: passive OpenMP waiting, no mmap for large allocations.
Lines in and out: see stepper.ts.
"""

import json, resource, sys, time, warnings

warnings.filterwarnings("ignore")
try:
    import peft, torch, transformers
except ImportError as error:
    print(json.dumps({"ready": False, "missing": str(error)}), flush=True)
    sys.exit(0)

options = json.loads(sys.argv[1])
torch.set_num_threads(options["threads"])
torch.manual_seed(0)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
model = transformers.AutoModelForCausalLM.from_pretrained(
    options["directory"], dtype=torch.float32, attn_implementation="sdpa", low_cpu_mem_usage=True)
model.config.use_cache = False
model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
for name, parameter in model.named_parameters():
    if "lora_" in name:
        torch.nn.init.normal_(parameter, std=0.014)
model.train()
parameters = [p for p in model.parameters() if p.requires_grad]

examples, length = options["examples"], options["length"]
ids = torch.randint(3, model.config.vocab_size, (examples, length))
labels = torch.where(torch.arange(length) >= length / 3, ids, -100)


def step():
    for parameter in parameters:
        parameter.grad = None
    model(input_ids=ids, labels=labels).loss.backward()


print(json.dumps({"ready": True, "torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
for line in sys.stdin:
    if line.strip() == "end":
        print(json.dumps({"peakMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)
        break
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    print(json.dumps({"cpuSeconds": time.process_time() - cpu, "wallSeconds": time.perf_counter() - wall}), flush=True)
