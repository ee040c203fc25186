/** How Python pulls the adapter of a network that runs: a command line to copy into a POSIX shell. */

export interface Pull {
  /** The coordinator's address. */
  readonly url: string;
  /** An API token that may `versions.read`. */
  readonly token: string;
  /** Folder of the base model. */
  readonly base: string;
  readonly repository: string;
  /** A Python with torch, transformers, peft and huggingface_hub. */
  readonly python?: string;
}

/** Loads the base model, pulls the repository's adapter onto it with the Hub's own tools, and prints its configuration. */
export function pullCommand({ url, token, base, repository, python = 'python' }: Pull): string {
  const script = [
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    `base = AutoModelForCausalLM.from_pretrained(${JSON.stringify(base)})`,
    `print(PeftModel.from_pretrained(base, ${JSON.stringify(repository)}).peft_config)`,
  ];
  const lines = [
    `HF_ENDPOINT=${quoted(url)} HF_TOKEN=${quoted(token)}`,
    `${quoted(python)} -c ${quoted(script.join('\n'))}`,
  ];
  return lines.join(' \\\n');
}

/** As one word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
