import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { pullCommand } from './pull.js';

const pull = {
  url: 'http://127.0.0.1:7400',
  token: 'fedlora_abc',
  base: 'deploy/demo/base',
  repository: 'city/support',
};

/** What a program gets that a shell starts with the command: the two variables, and each argument on a line. */
function received(command: string): string[] {
  const program = `python() { printf '%s\\n' "$HF_ENDPOINT" "$HF_TOKEN" "$@"; }`;
  return execFileSync('sh', ['-c', `${program}\n${command}`], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
}

describe('pullCommand', () => {
  it('gives Python the address, the token and a script that pulls', () => {
    expect(received(pullCommand(pull))).toEqual([
      'http://127.0.0.1:7400',
      'fedlora_abc',
      '-c',
      'from peft import PeftModel',
      'from transformers import AutoModelForCausalLM',
      'base = AutoModelForCausalLM.from_pretrained("deploy/demo/base")',
      'print(PeftModel.from_pretrained(base, "city/support").peft_config)',
    ]);
  });

  it('holds together where the folder of the base model has blanks and quotes', () => {
    const lines = received(pullCommand({ ...pull, base: `/home/o'neil/my "base" $HOME` }));
    expect(lines).toContain(String.raw`base = AutoModelForCausalLM.from_pretrained("/home/o'neil/my \"base\" $HOME")`);
  });
});
