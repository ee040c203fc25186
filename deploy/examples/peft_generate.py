"""Answers one question with the adapter that a channel has: the Hugging Face tools, unchanged.

    export HF_ENDPOINT=https://coordinator.example HF_TOKEN=...      # an API token that may versions.read
    python peft_generate.py models/SmolLM2-135M-Instruct city/support "Where do I renew a passport?"

Needs torch, transformers and peft. HF_ENDPOINT stands for the whole Hub, so the base model is a folder that is there already.
"""

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, repository, question = sys.argv[1:4]
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), repository, revision="stable")
prompt = tokenizer.apply_chat_template(
    [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**prompt, max_new_tokens=200, do_sample=False)
print(tokenizer.decode(answer[0][prompt["input_ids"].shape[1]:], skip_special_tokens=True))
