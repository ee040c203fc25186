#!/usr/bin/env python3
"""Pulls an adapter from a coordinator with the real huggingface_hub and PEFT, as a downstream service does.

    HF_ENDPOINT=http://127.0.0.1:7400 HF_TOKEN=fedlora_... \\
        python3 test/interop/hub_pull.py REPOSITORY BASE --stable VERSION --candidate VERSION

BASE is the folder of the base model. Needs torch, transformers, peft and huggingface_hub. Prints what it saw, and ends with code 1 at the
first thing that is not as on the Hub. `test/scenario/hub-python.scenario.test.ts` runs it where Python has these packages.
"""

import argparse
import json
import os
import pathlib
import tempfile

# Before the import: huggingface_hub reads them once.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
CACHE = tempfile.TemporaryDirectory(prefix="fedlora-hub-")
os.environ["HF_HOME"] = CACHE.name

import torch
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

WEIGHTS = "adapter_model.safetensors"


def refusal(kind, call):
    """The error that a call must end with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository")
    parser.add_argument("base")
    parser.add_argument("--stable", required=True)
    parser.add_argument("--candidate", required=True)
    parser.add_argument("--revoked", required=True)
    arguments = parser.parse_args()
    repository = arguments.repository
    api = HfApi()
    seen = {}

    seen["who"] = api.whoami()["name"]
    info = api.model_info(repository, files_metadata=True)
    assert info.sha == arguments.stable, info.sha
    assert info.private and info.library_name == "peft", info
    weights = next(file for file in info.siblings if file.rfilename == WEIGHTS)
    assert weights.lfs is not None and weights.size == weights.lfs.size, weights
    seen["downloads before"] = info.downloads
    assert api.model_info(repository, revision="candidate").sha == arguments.candidate
    assert {ref.name: ref.target_commit for ref in api.list_repo_refs(repository).branches} == {
        "main": arguments.stable,
        "stable": arguments.stable,
        "candidate": arguments.candidate,
    }
    tree = {file.path: file for file in api.list_repo_tree(repository, revision=arguments.stable, expand=True)}
    assert tree[WEIGHTS].lfs.sha256 == weights.lfs.sha256
    assert tree[WEIGHTS].last_commit.oid == arguments.stable
    seen["files"] = sorted(tree)
    assert [file.path for file in api.get_paths_info(repository, [WEIGHTS, "missing"])] == [WEIGHTS]

    assert repository in [model.id for model in api.list_models(author=repository.split("/")[0], search="SUPP")]
    assert not list(api.list_models(search="nowhere"))

    assert api.repo_exists(repository) and not api.repo_exists("city/nowhere")
    assert api.revision_exists(repository, "stable") and not api.revision_exists(repository, "nothing")
    assert api.file_exists(repository, WEIGHTS) and not api.file_exists(repository, "config.json")
    refusal(RepositoryNotFoundError, lambda: api.model_info("city/nowhere"))
    refusal(RevisionNotFoundError, lambda: hf_hub_download(repository, WEIGHTS, revision="nothing"))
    refusal(EntryNotFoundError, lambda: hf_hub_download(repository, "config.json"))
    refusal(RepositoryNotFoundError, lambda: api.model_info(repository, token=False))
    assert refusal(HfHubHTTPError, lambda: api.model_info(repository, token="hf_wrong")).response.status_code == 401
    revoked = refusal(RevisionNotFoundError, lambda: hf_hub_download(repository, WEIGHTS, revision=arguments.revoked))
    assert revoked.response.status_code == 410, revoked
    seen["revoked"] = str(revoked).splitlines()[-1]
    assert "was revoked on" in seen["revoked"], revoked

    snapshot = pathlib.Path(snapshot_download(repository, revision="candidate"))
    assert snapshot.name == arguments.candidate
    assert json.loads((snapshot / "manifest.json").read_text())["id"] == arguments.candidate
    seen["snapshot"] = sorted(file.name for file in snapshot.iterdir())

    base = AutoModelForCausalLM.from_pretrained(arguments.base)
    assert PeftConfig.from_pretrained(repository, revision="stable").peft_type == "LORA"
    tokens = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        before = base(input_ids=tokens).logits.clone()
        model = PeftModel.from_pretrained(base, repository, revision="stable")
        after = model(input_ids=tokens).logits
    published = load_file(hf_hub_download(repository, WEIGHTS, revision=arguments.stable))
    loaded = {name.replace(".default", ""): value for name, value in model.state_dict().items() if "lora_" in name}
    assert loaded.keys() == published.keys(), sorted(loaded.keys() ^ published.keys())[:4]
    for name, value in published.items():
        assert torch.equal(loaded[name], value), name
    seen["largest change of a logit"] = round((after - before).abs().max().item(), 4)
    assert seen["largest change of a logit"] > 0
    halved = load_file(hf_hub_download(repository, WEIGHTS, revision="stable-bf16"))
    for name, value in published.items():
        assert torch.equal(halved[name], value.to(torch.bfloat16)), name
    assert PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(arguments.base), repository, revision="stable-bf16"
    ).peft_config["default"].r > 0
    seen["downloads after"] = api.model_info(repository).downloads
    print(json.dumps(seen, indent=2))


if __name__ == "__main__":
    main()
