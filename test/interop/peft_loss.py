#!/usr/bin/env python3
"""Loads the demo's federated adapter with Hugging Face PEFT and compares its losses with the demo's table.

    npm run demo -- --report report.json
    python3 test/interop/peft_loss.py report.json

Needs torch, transformers, peft and tokenizers. Not part of `npm test`. Ends with code 1 if a loss differs by more than 1e-3.
"""

import argparse
import json
import pathlib
import sys

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-3
WITH_INPUT = "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
WITHOUT_INPUT = "### Instruction:\n{instruction}\n\n### Response:\n"


def row_loss(model, tokenizer, bos, eos, row):
    """Mean cross-entropy over the answer's tokens, its end included; nats."""
    template = WITH_INPUT if row.get("input") else WITHOUT_INPUT
    prompt = [bos] + tokenizer.encode(template.format(**{"input": "", **row}), add_special_tokens=False).ids
    answer = tokenizer.encode(row["output"], add_special_tokens=False).ids + [eos]
    ids = torch.tensor([prompt + answer])
    labels = torch.tensor([[-100] * len(prompt) + answer])
    with torch.no_grad():
        return model(input_ids=ids, labels=labels).loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", help="what `npm run demo -- --report FILE` wrote")
    arguments = parser.parse_args()
    report = json.loads(pathlib.Path(arguments.report).read_text())
    federated = next(row for row in report["rows"] if row["model"] == "federated")
    base_dir, adapter_dir = pathlib.Path(report["baseDir"]), pathlib.Path(report["adapterDir"])
    config = json.loads((base_dir / "config.json").read_text())

    base = AutoModelForCausalLM.from_pretrained(base_dir, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter_dir).eval()
    tokenizer = Tokenizer.from_file(str(base_dir / "tokenizer.json"))

    worst = 0.0
    for name, expected in federated["perSet"].items():
        lines = (pathlib.Path(report["testDir"]) / f"{name}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        losses = [row_loss(model, tokenizer, config["bos_token_id"], config["eos_token_id"], row) for row in rows]
        ours = expected["loss"]
        theirs = sum(losses) / len(losses)
        worst = max(worst, abs(ours - theirs))
        print(f"{name:24} rows {len(rows):4}  demo {ours:.6f}  PEFT {theirs:.6f}  difference {abs(ours - theirs):.1e}")
    print(f"largest difference {worst:.1e} (allowed {TOLERANCE:.0e})")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
